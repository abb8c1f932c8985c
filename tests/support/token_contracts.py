# SPDX-License-Identifier: GPL-3.0-or-later
"""The tokens of contracts/test/Tokens.sol on a chain."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from escrow_market import Market
from eth_abi.abi import encode

from contracts.compile import compile_sources
from contracts.toolchain import CHECKOUT
from protocol.hashing import keccak256
from protocol.signing import Account

_SOURCE = Path("contracts/test/Tokens.sol")
_TYPES = {"mint": ("address", "uint256"), "approve": ("address", "uint256")}


@cache
def _bytecode() -> bytes:
    output = compile_sources({"Tokens.sol": (CHECKOUT / _SOURCE).read_text(encoding="utf-8")})
    return bytes.fromhex(output["contracts"]["Tokens.sol"]["SignedToken"]["evm"]["bytecode"]["object"])


def deploy_token(chain: Market, sender: Account) -> bytes:
    """The address of a fresh token that nobody owns anything of."""
    receipt: dict[str, Any] = chain.rpc.transact(sender, None, _bytecode())
    return bytes.fromhex(receipt["contractAddress"][2:])


def token_call(name: str, *arguments: object) -> bytes:
    """Call data of `mint` or `approve`."""
    types = _TYPES[name]
    return keccak256(f"{name}({','.join(types)})".encode())[:4] + encode(types, arguments)
