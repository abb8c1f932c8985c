# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator can set: names, types, bounds and defaults; where values come from is `node.config`.

The descriptions are the comments of the config.toml that `proofmesh init` writes. Amounts are wei,
addresses are `0x` and 40 hexadecimal digits. No validation error shows the value that failed.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationInfo, field_validator

from protocol.checksum import checksum_fits
from protocol.scalars import MAX_AMOUNT

Role = Literal["client", "prover", "verifier", "publisher"]
NetworkName = Literal["devnet", "custom"]
RELAY_ADDRESS = r"/(ip4|ip6|dns|dns4|dns6)/[^/\s]+/tcp/[0-9]{1,5}/p2p/[1-9A-HJ-NP-Za-km-z]{32,128}"
LONGEST_RELAY_ADDRESS = 180
"""Characters; with the own peer id behind it an address still fits into a message."""


def _integer(value: Any) -> Any:
    """Take integers and decimal digits (the environment is text), never booleans or floats."""
    if isinstance(value, str):
        digits = value.strip().replace("_", "")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 80):
            raise ValueError("must be a whole number, zero or above")
        return int(digits)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number, zero or above")
    return value


def _address(value: Any) -> Any:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("must be an address in quotes: 0x and 40 hexadecimal digits")
    if value == "":
        return None
    body = value[2:]
    if value[:2] != "0x" or len(body) != 40 or any(c not in "0123456789abcdefABCDEF" for c in body):
        raise ValueError("must be an address: 0x and 40 hexadecimal digits")
    if not checksum_fits(body):
        raise ValueError("must be an address whose capitals are its checksum (EIP-55): a digit is mistyped")
    return bytes.fromhex(body)


def _list(value: Any) -> Any:
    """Take TOML lists, and comma-separated text from the environment."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list):
        return tuple(value)
    return value


def _hex(value: bytes | None) -> str | None:
    return None if value is None else "0x" + value.hex()


_TO_TEXT = PlainSerializer(_hex, return_type=str | None)
WholeNumber = Annotated[int, BeforeValidator(_integer)]
AmountWei = Annotated[WholeNumber, Field(ge=0, le=MAX_AMOUNT)]
BasisPoints = Annotated[WholeNumber, Field(ge=0, le=100_000)]
OptionalAddress = Annotated[bytes | None, BeforeValidator(_address), _TO_TEXT]
RequiredAddress = Annotated[bytes, BeforeValidator(_address), PlainSerializer(_hex, return_type=str)]
OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: None if value == "" else value)]
Multiaddresses = Annotated[tuple[str, ...], BeforeValidator(_list), Field(max_length=64)]


class Section(BaseModel):
    """A frozen part of the settings; unknown keys are errors, so that a typing error is not lost."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ProverSettings(Section):
    """What a prover charges and how much it risks."""

    margin_bps: BasisPoints = Field(
        default=2_000, description="Profit on top of cost, in 1/100 of a percent."
    )
    least_margin_bps: BasisPoints = Field(
        default=0, description="Least profit at the gas price of the moment, or an award is not taken up."
    )
    wei_per_ms: AmountWei = Field(
        default=1_000_000_000, description="What a millisecond of proving costs, in wei."
    )
    capacity: Annotated[WholeNumber, Field(ge=1, le=256)] = Field(
        default_factory=lambda: os.cpu_count() or 1,
        description="Proofs made at the same time; one worker process each.",
    )
    exposure_cap_wei: AmountWei = Field(
        default=10**17, description="Most wei of unpaid work for one client without a lock."
    )
    collateral_cap_wei: AmountWei = Field(
        default=10**17, description="Most wei of collateral that one lock may put at stake: the client names it."
    )
    lock_above_ms: Annotated[WholeNumber, Field(ge=0)] = Field(
        default=30_000, description="Jobs estimated above this many milliseconds are locked on-chain first."
    )
    bundles: Annotated[tuple[str, ...], BeforeValidator(_list), Field(max_length=256)] = Field(
        default=(), description="Ids of bundles to pull, audit and serve: 64 hexadecimal digits each."
    )
    verifiers: Annotated[tuple[str, ...], BeforeValidator(_list), Field(max_length=256)] = Field(
        default=(),
        description="Verifier contracts of other proof systems that you have examined: 64 hexadecimal digits of the "
        "hash of their code each. Orders that another one verifies are refused.",
    )
    promise_slack_seconds: Annotated[WholeNumber, Field(ge=1, le=86_400)] = Field(
        default=20, description="Added to the estimate in a promise: block time, settlement, reorgs."
    )
    settle_margin_seconds: Annotated[WholeNumber, Field(ge=1, le=86_400)] = Field(
        default=5,
        validate_default=True,
        description="How long before its promise this node settles by itself: blocks to be mined, reorgs.",
    )
    verifier_patience_seconds: Annotated[WholeNumber, Field(ge=1, le=86_400)] = Field(
        default=8, description="How long a verifier has to settle before this node settles itself."
    )
    ray: str = Field(
        default="", description="Address of a Ray cluster to prove on (proofmesh[ray]); empty: this machine."
    )
    payout: OptionalAddress = Field(
        default=None, description="Where earnings go, best a cold address; empty: the node's own account."
    )

    @field_validator("bundles", "verifiers")
    @classmethod
    def _hashes(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if any(not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", part) for part in value):
            what = "bundle ids" if info.field_name == "bundles" else "code hashes"
            raise ValueError(f"must be {what} of 64 hexadecimal digits")
        return value


    @field_validator("least_margin_bps")
    @classmethod
    def _below_margin(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("margin_bps", value):
            raise ValueError("must not be above margin_bps: no award would be taken up")
        return value

    @field_validator("settle_margin_seconds")
    @classmethod
    def _below_slack(cls, value: int, info: ValidationInfo) -> int:
        if value >= info.data.get("promise_slack_seconds", value + 1):
            raise ValueError("must be below promise_slack_seconds, to leave a verifier time")
        return value


class ClientSettings(Section):
    """How a client chooses its prover."""

    window_seconds: Annotated[WholeNumber, Field(ge=1, le=3_600)] = Field(
        default=3, description="How long bids are collected, in seconds."
    )
    policy: Literal["price", "time", "reputation", "balanced"] = Field(
        default="price", description="Which bid wins: price, time, reputation or balanced."
    )
    allow: Annotated[tuple[RequiredAddress, ...], BeforeValidator(_list), Field(max_length=1_024)] = Field(
        default=(), description="Accounts of provers that may see private inputs. They do see them."
    )


class VerifierSettings(Section):
    """What a verifier settles for."""

    least_fee_wei: AmountWei = Field(
        default=0, description="Least fee, in wei, for which a proof is settled."
    )
    batch_wait_ms: Annotated[WholeNumber, Field(ge=0, le=600_000)] = Field(
        default=1_000, description="How long a checked proof waits for others to settle with, in ms."
    )
    batch_size: Annotated[WholeNumber, Field(ge=1, le=128)] = Field(
        default=64, description="How many proofs one transaction settles at most."
    )


class RelaySettings(Section):
    """Connections that other nodes carry for this one, or this one for others."""

    through: Annotated[tuple[str, ...], BeforeValidator(_list), Field(max_length=4)] = Field(
        default=(),
        description="Relays through which a node behind a NAT is reached: full multiaddresses, ending in /p2p/<id>.",
    )
    serve: bool = Field(
        default=False, description="true: carry connections to nodes behind a NAT that reserve here, at your cost."
    )
    reservations: Annotated[WholeNumber, Field(ge=1, le=1_024)] = Field(
        default=64, description="Nodes that may have a reservation here at the same time."
    )
    circuits: Annotated[WholeNumber, Field(ge=1, le=1_024)] = Field(
        default=64, description="Connections carried at the same time."
    )
    circuit_bytes: Annotated[WholeNumber, Field(ge=1 << 16, lt=2**63)] = Field(
        default=256 << 20, description="Bytes that one carried connection may pass; then it ends."
    )
    circuit_seconds: Annotated[WholeNumber, Field(ge=60, le=604_800)] = Field(
        default=3_600, description="How long one connection is carried, in seconds; then it ends."
    )
    bytes_per_second: Annotated[WholeNumber, Field(ge=1 << 20, lt=2**63)] = Field(
        default=2 << 20, description="Bytes a second of all carried connections together."
    )

    @field_validator("through")
    @classmethod
    def _full_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not re.fullmatch(RELAY_ADDRESS, part) or len(part) > LONGEST_RELAY_ADDRESS for part in value):
            raise ValueError("must be full addresses such as /ip4/198.51.100.7/tcp/4001/p2p/16Uiu2...")
        return value


class Settings(Section):
    """All settings of a node, after flags, environment, config.toml and defaults are merged."""

    network: NetworkName = Field(
        default="devnet", description="Which defaults apply: devnet (this machine) or custom."
    )
    data_dir: Path
    roles: Annotated[tuple[Role, ...], BeforeValidator(_list)] = Field(
        default=(), description="Further roles of a daemon, beside the one in its command: prover, verifier, publisher."
    )
    rpc_url: str = Field(
        repr=False, description="JSON-RPC of the chain. It may hold an access key: it is never logged."
    )
    rpc_urls: Annotated[tuple[str, ...], BeforeValidator(_list), Field(max_length=8)] = Field(
        default=(), repr=False, description="Further JSON-RPC endpoints of the chain, the most trusted first."
    )
    chain_id: Annotated[WholeNumber, Field(ge=1, lt=2**63)] = Field(description="Id of the chain.")
    escrow: OptionalAddress = Field(default=None, description="Address of the Escrow contract.")
    registry: OptionalAddress = Field(default=None, description="Address of the Registry contract.")
    start_block: Annotated[WholeNumber, Field(ge=0, lt=2**63)] = Field(
        default=0, description="Block in which the Escrow was deployed; its events are read from there."
    )
    confirmations: Annotated[WholeNumber, Field(ge=1, le=1_000)] = Field(
        description="Blocks until a transaction counts as done; 1 is the block it is in."
    )
    poll_ms: Annotated[WholeNumber, Field(ge=20, le=60_000)] = Field(
        description="How often the chain is asked for new blocks, in milliseconds."
    )
    listen: Multiaddresses = Field(
        default=("/ip4/127.0.0.1/tcp/0",),
        description="Multiaddresses to listen on; tcp/0 takes a free port; none: only dial (a client behind a NAT).",
    )
    announce: Multiaddresses = Field(
        default=(), description="Multiaddresses to tell peers instead of those listened on, for a node behind a NAT."
    )
    directory: Literal["read", "announce", "off"] = Field(
        default="read",
        description="Peers from the chain's directory: read them, announce this node there as well (gas), or off.",
    )
    bootstrap: Multiaddresses = Field(default=(), description="Multiaddresses of peers to dial first.")
    subnet_exempt: Annotated[tuple[str, ...], BeforeValidator(_list), Field(max_length=64)] = Field(
        default=("127.0.0.0/8", "::1/128"),
        description="Networks (CIDR) exempt from the bounds on connections from one subnet: this machine, your own.",
    )
    powers_of_tau: OptionalPath = Field(
        default=None, description="A .ptau file; needed to audit models whose keys come from a ceremony."
    )
    least_free_bytes: WholeNumber = Field(
        default=64 << 20, ge=0, description="Free disk space in bytes below which a node promises nothing new."
    )
    bundle_quota_bytes: Annotated[WholeNumber, Field(ge=0, lt=2**63)] = Field(
        default=20 << 30, description="Bytes that bundles may take; fetched ones unused longest go first. 0: no limit."
    )
    worker_memory_bytes: Annotated[WholeNumber, Field(ge=1 << 28, lt=2**63)] = Field(
        default=8 << 30, description="Memory that a worker may have while it compiles, audits or proves, in bytes."
    )
    worker_seconds: Annotated[WholeNumber, Field(ge=1, le=604_800)] = Field(
        default=1_800, description="How long one audit or proof may take, in seconds; then it is killed."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error."
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="console (for people) or json."
    )
    prover: ProverSettings = ProverSettings()
    client: ClientSettings = ClientSettings()
    verifier: VerifierSettings = VerifierSettings()
    relay: RelaySettings = RelaySettings()

    @property
    def rpc_endpoints(self) -> tuple[str, ...]:
        """All RPC endpoints, the most trusted first, each once."""
        return tuple(dict.fromkeys((self.rpc_url, *self.rpc_urls)))

    @field_validator("rpc_url", "rpc_urls")
    @classmethod
    def _http(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for url in (value,) if isinstance(value, str) else value:
            if not url.startswith(("http://", "https://")) or len(url) > 2_048 or not url.isprintable():
                raise ValueError("must be an http:// or https:// address")
        return value

    @field_validator("listen", "announce", "bootstrap")
    @classmethod
    def _multiaddresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not part.startswith("/") or len(part) > 256 or not part.isprintable() for part in value):
            raise ValueError("must be multiaddresses such as /ip4/127.0.0.1/tcp/4001")
        return value

    @field_validator("subnet_exempt")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            try:
                ipaddress.ip_network(part)
            except ValueError:
                raise ValueError("must be networks such as 192.168.0.0/16") from None
        return value

    @field_validator("roles")
    @classmethod
    def _once(cls, value: tuple[Role, ...]) -> tuple[Role, ...]:
        if len(set(value)) != len(value):
            raise ValueError("names a role twice")
        return value


NETWORK_DEFAULTS: dict[str, dict[str, object]] = {
    "devnet": {"rpc_url": "http://127.0.0.1:8545", "chain_id": 31337, "confirmations": 1, "poll_ms": 200},
    "custom": {
        "confirmations": 3,
        "poll_ms": 2_000,
        "prover.promise_slack_seconds": 90,
        "prover.settle_margin_seconds": 45,
    },
}
"""Defaults by network; on `custom` rpc_url and chain_id have none and must be given."""


def named_bundles(settings: Settings) -> frozenset[bytes]:
    """Return the ids of the bundles that the operator named."""
    return frozenset(bytes.fromhex(text.removeprefix("0x")) for text in settings.prover.bundles)
