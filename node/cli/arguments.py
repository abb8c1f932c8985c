# SPDX-License-Identifier: GPL-3.0-or-later
"""What users type: amounts, durations, addresses, hashes; and the options that all commands share."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import typer

from node.cli.output import Output
from node.config import default_data_dir, load_settings
from node.data_folder import DataFolder, open_data_folder
from node.keystore import keystore_address, load_keystore, read_password
from node.settings import Settings
from protocol.checksum import checksum_fits
from protocol.errors import ConfigError, KeystoreError, UsageError
from protocol.scalars import MAX_AMOUNT
from protocol.signing import Account
from protocol.structs import Network

_UNITS = {"wei": 1, "gwei": 10**9, "eth": 10**18, "ether": 10**18}
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
MAX_SECONDS = 366 * 86_400
"""No order or delay is longer: what is, was mistyped, and would be waited for."""


@dataclass(frozen=True, slots=True)
class Session:
    """What the options in front of the command say."""

    data_dir: Path | None
    output: Output
    password_file: Path | None
    flags: dict[str, object]

    def settings(self, **flags: object) -> Settings:
        """Return the settings, with these flags on top; `prover__margin_bps` is `prover.margin_bps`."""
        dotted = {key.replace("__", "."): value for key, value in flags.items() if value is not None}
        return load_settings(self.data_dir, {**self.flags, **dotted})

    def folder_for_init(self) -> DataFolder:
        """Return the data folder whatever its settings say; made when it is missing."""
        return open_data_folder(self.data_dir or default_data_dir(os.environ))

    def folder(self) -> DataFolder:
        """Return the data folder, made when it is missing."""
        return open_data_folder(self.settings().data_dir)

    def account(self) -> Account:
        """Return the account of the keystore; asks for its password when it must."""
        folder = self.folder()
        if not folder.keystore.exists():
            raise ConfigError(f"There is no keystore in {folder.path}.", remedy=KeystoreError.remedy)
        return load_keystore(folder.keystore, self.password())

    def address(self) -> bytes:
        """Return the address of the keystore's account; needs no password."""
        return keystore_address(self.folder().keystore)

    def password(self, *, confirm: bool = False) -> str:
        """Return the password from --password-file, the environment or a prompt."""

        def ask() -> str:
            return str(typer.prompt("Password of the keystore", hide_input=True, confirmation_prompt=confirm))

        return read_password(self.password_file, prompt=ask if sys.stdin.isatty() else None)


def network_of(settings: Settings) -> Network:
    """Return the network id that the settings name."""
    if settings.escrow is None or settings.registry is None:
        raise ConfigError(
            "The addresses of Escrow and Registry are not set.",
            remedy="Run `proofmesh devnet up`, or set escrow and registry in config.toml.",
        )
    return Network(chain_id=settings.chain_id, escrow=settings.escrow)


def wei(text: str) -> int:
    """Parse an amount: `5 gwei`, `0.01eth`, `1000` (wei).

    Raises:
        UsageError: no amount, negative, a fraction of a wei, or 2^128 and more.
    """
    match = re.fullmatch(r"\s*([0-9]{1,80}(?:_[0-9]{1,80}){0,30}(?:\.[0-9]{1,80})?)\s*([a-zA-Z]{0,8})\s*", text)
    unit = match.group(2).lower() or "wei" if match else ""
    if match is None or unit not in _UNITS:
        raise UsageError(
            f"{text[:40]!r} is not an amount.", remedy="Write it like 0.01eth, 5gwei or 1000wei."
        )
    try:
        # Exact: Decimal would round to 28 digits.
        amount = Fraction(match.group(1).replace("_", "")) * _UNITS[unit]
    except ValueError:
        raise UsageError(f"{text[:40]!r} is not an amount.") from None
    if amount.denominator != 1 or amount > MAX_AMOUNT:
        raise UsageError(f"{text[:40]!r} is not a whole number of wei below 2^128.")
    return int(amount)


def seconds(text: str) -> int:
    """Parse a duration: `90`, `90s`, `5m`, `2h`, `1d`.

    Raises:
        UsageError: no duration, nothing at all, or more than `MAX_SECONDS`.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text.strip())
    if match is None or int(match.group(1)) == 0:
        raise UsageError(f"{text[:40]!r} is not a duration.", remedy="Write it like 90s, 5m or 2h.")
    found = int(match.group(1)) * _SECONDS[match.group(2) or "s"]
    if found > MAX_SECONDS:
        raise UsageError(f"{text[:40]!r} is longer than a year.", remedy="Write it like 90s, 5m or 2h.")
    return found


def fixed_bytes(text: str, length: int, what: str) -> bytes:
    """Parse `0x` and hexadecimal digits (the prefix may be left out) of a known length.

    Raises:
        UsageError: anything else.
    """
    digits = text.removeprefix("0x")
    if len(digits) != 2 * length or not re.fullmatch(r"[0-9a-fA-F]*", digits):
        raise UsageError(f"{text[:80]!r} is not {what}: 0x and {2 * length} hexadecimal digits.")
    return bytes.fromhex(digits)


def address_bytes(text: str) -> bytes:
    """Parse an address; capitals among its digits must be its checksum (EIP-55).

    Raises:
        UsageError: no address, or a mistyped one.
    """
    found = fixed_bytes(text, 20, "an address")
    if not checksum_fits(text.removeprefix("0x")):
        raise UsageError(
            f"{text!r} has a wrong checksum: a digit is mistyped.", remedy="Copy the address again from its owner."
        )
    return found
