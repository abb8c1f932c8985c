# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a chain can run the contracts: asked by calls that change nothing."""

from __future__ import annotations

from contracts.rpc import Rpc
from protocol.errors import RevertedError, RpcRefusedError, UnsuitableChainError

_MODULUS = 21888242871839275222246405745257275088696311157297823662689037894645226208583
_G1 = (1, 2)
_MINUS_G1 = (1, _MODULUS - 2)
_TWICE_G1 = (
    1368015179489954701390400359078579693043519447331113978918064868415326638035,
    9918110051302171585080402603319702774565515993150576347155970296011118125764,
)
_G2 = (
    11559732032986387107991004021392285783925812861821192530917403151452391805634,
    10857046999023057135944570762232829481370756359578518086990519993285655852781,
    4082367875863433681332203403145435568316851327593401208105741076214120093531,
    8495653923123431417604973247489272438418190587263600148770280649306958101930,
)
_QUESTIONS: tuple[tuple[str, int, tuple[int, ...], tuple[int, ...]], ...] = (
    ("addition", 6, (*_G1, *_G1), _TWICE_G1),
    ("multiplication", 7, (*_G1, 2), _TWICE_G1),
    ("pairing", 8, (*_G1, *_G2, *_MINUS_G1, *_G2), (1,)),
    ("pairing", 8, (*_G1, *_G2), (0,)),
)
"""Precompiles of BN254 (EIP-196, EIP-197): what, address, question, answer."""
_PROGRAM = bytes.fromhex("60015f5d5f5f5f5e5f5c5f5260205ff3")
"""PUSH0, TSTORE, MCOPY, TLOAD: what the compiler uses of Shanghai and Cancun; returns the word 1."""


def require_features(rpc: Rpc) -> None:
    """Check that a chain has what the contracts need.

    Raises:
        UnsuitableChainError: the curve of the proofs or the instructions of Cancun are missing.
        ChainError: the RPC cannot be used.
    """
    for what, address, question, answer in _QUESTIONS:
        data = b"".join(word.to_bytes(32) for word in question)
        if _ask(rpc, {"to": f"0x{address:040x}", "data": "0x" + data.hex()}) != answer:
            raise UnsuitableChainError(f"The chain has no precompile for {what} on BN254.")
    if _ask(rpc, {"data": "0x" + _PROGRAM.hex()}) != (1,):
        raise UnsuitableChainError("The chain lacks instructions of Cancun (EIP-1153, EIP-3855, EIP-5656).")


def _ask(rpc: Rpc, request: dict[str, str]) -> tuple[int, ...]:
    try:
        found = rpc.data("eth_call", request, "latest")
    except (RevertedError, RpcRefusedError):
        return ()
    return tuple(int.from_bytes(found[i : i + 32]) for i in range(0, len(found), 32))
