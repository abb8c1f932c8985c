# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploys Registry, Groth16Verifier and Escrow to any RPC, from the committed bytecode.

    python -m contracts.deploy --rpc URL (--keystore FILE [--password-file FILE] | --private-key-file FILE)

Prints one JSON object: addresses, first block, chain id. The Escrow has no owner: who deploys it has no
more rights in it than anyone else.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account as EthAccount

from contracts import bindings
from contracts.rpc import Rpc
from protocol import bounded_json
from protocol.errors import (
    DeploymentError,
    KeystoreError,
    ProofmeshError,
    WrongChainError,
    WrongPasswordError,
)
from protocol.signing import Account

DEFAULT_WITHDRAWAL_DELAY_SECONDS = 3_600


@dataclass(frozen=True)
class Deployment:
    """What a node must know of a network; logs of the contracts begin at `block`."""

    chain_id: int
    registry: bytes
    verifier: bytes
    escrow: bytes
    block: int
    allow_dev: bool
    withdrawal_delay_seconds: int

    def to_json(self) -> str:
        """Return one JSON object; addresses in lower-case hex."""
        addresses = ("registry", "verifier", "escrow")
        values = {name: value for name, value in vars(self).items() if name not in addresses}
        values |= {name: "0x" + getattr(self, name).hex() for name in addresses}
        return json.dumps(values, sort_keys=True)


def deploy(
    rpc_url: str,
    account: Account,
    *,
    allow_dev: bool = False,
    withdrawal_delay_seconds: int = DEFAULT_WITHDRAWAL_DELAY_SECONDS,
    chain_id: int | None = None,
) -> Deployment:
    """Deploy the three contracts and return where they are.

    Raises:
        WrongChainError: the RPC serves another chain than `chain_id`.
        ChainError: the RPC cannot be used, or a transaction failed.
    """
    with Rpc(rpc_url) as rpc:
        found = rpc.quantity("eth_chainId")
        if chain_id is not None and found != chain_id:
            raise WrongChainError(f"The RPC serves chain {found}, not {chain_id}.")
        block, registry = _create(rpc, account, bindings.deploy_registry())
        _, verifier = _create(rpc, account, bindings.deploy_verifier())
        creation = bindings.deploy_escrow(registry, allow_dev, withdrawal_delay_seconds)
        _, escrow = _create(rpc, account, creation)
    return Deployment(found, registry, verifier, escrow, block, allow_dev, withdrawal_delay_seconds)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        deployment = deploy(
            options.rpc,
            _account(options),
            allow_dev=options.allow_dev,
            withdrawal_delay_seconds=options.withdrawal_delay,
            chain_id=options.chain_id,
        )
    except ProofmeshError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(deployment.to_json())
    return 0


def _create(rpc: Rpc, account: Account, data: bytes) -> tuple[int, bytes]:
    receipt = rpc.transact(account, None, data)
    address = str(receipt["contractAddress"])
    if rpc.call("eth_getCode", address, "latest") == "0x":
        raise DeploymentError(f"There is no code at {address} after the deployment.")
    return int(receipt["blockNumber"], 16), bytes.fromhex(address[2:])


def _account(options: argparse.Namespace) -> Account:
    """Return the deploying account; errors never show what the files hold."""
    try:
        if options.private_key_file is not None:
            text = Path(options.private_key_file).read_text(encoding="ascii").strip()
            return Account(bytes.fromhex(text.removeprefix("0x")))
        keystore = bounded_json.loads(Path(options.keystore).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise KeystoreError("The key file cannot be read, or holds no key.") from None
    except ProofmeshError:
        raise
    except Exception:  # eth_keys has its own ValidationError for a key of a wrong length
        raise KeystoreError("The key file holds no private key of 32 bytes.") from None
    password = _password(options.password_file)
    try:
        return Account(bytes(EthAccount.decrypt(keystore, password)))
    except ValueError:
        raise WrongPasswordError("The password does not open the keystore.") from None
    except (KeyError, TypeError, AttributeError):
        raise KeystoreError("The file is not a Web3 Secret Storage v3 keystore.") from None


def _password(path: str | None) -> str:
    if path is None:
        return getpass.getpass("Password of the keystore: ")
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\n")
    except OSError:
        raise KeystoreError("The password file cannot be read.") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m contracts.deploy", description="Deploy the contracts.")
    parser.add_argument("--rpc", required=True, help="JSON-RPC URL of the chain")
    key = parser.add_mutually_exclusive_group(required=True)
    key.add_argument("--keystore", help="Web3 Secret Storage v3 file of the account that pays the gas")
    key.add_argument("--private-key-file", help="file with the private key in hex (development only)")
    parser.add_argument("--password-file", help="file with the keystore's password (otherwise asked)")
    parser.add_argument("--chain-id", type=int, help="refuse any other chain")
    parser.add_argument("--allow-dev", action="store_true", help="accept programs with single-party keys")
    parser.add_argument(
        "--withdrawal-delay",
        type=int,
        default=DEFAULT_WITHDRAWAL_DELAY_SECONDS,
        help="seconds between asking for a withdrawal or cancel and its effect (default %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
