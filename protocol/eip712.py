# SPDX-License-Identifier: GPL-3.0-or-later
"""EIP-712 digests of the project's structs, bit for bit those of the Escrow.

`digest(network, struct)` is what accounts sign and what the rest of the project calls the hash of an
order, award or bid: it includes chain id and Escrow, so nothing signed for one network holds on another.
"""

from __future__ import annotations

from functools import lru_cache
from typing import get_args

from protocol.hashing import keccak256
from protocol.scalars import Record
from protocol.structs import (
    Announcement,
    Award,
    Bid,
    Introduction,
    Network,
    Notice,
    Order,
    RefusalTerms,
)

Signable = Order | Award | Bid | Announcement | RefusalTerms | Notice | Introduction

_TYPES: dict[type[Record], str] = {
    Order: (
        "Order(address client,bytes32 programId,bytes32 modelId,uint8 kind,bytes32 inputCommitment,"
        "bytes32 inputHash,uint64 inputSize,bytes32 parametersHash,address token,uint256 priceFloor,"
        "uint256 priceCap,uint64 rampStart,uint64 rampEnd,uint256 verifierFee,uint16 royaltyBps,"
        "address collateralToken,uint256 collateral,uint64 promiseBy,uint64 finalBy,address consumer,"
        "bytes32 context,bytes32 replyKey,bytes32 salt)"
    ),
    Award: (
        "Award(bytes32 orderHash,bytes32 bidHash,address prover,address payout,uint256 price,"
        "uint64 promiseAt,uint64 lockBy)"
    ),
    Bid: (
        "Bid(bytes32 orderHash,address prover,address payout,uint256 price,uint64 promiseAt,"
        "uint64 expiresAt,bool locks,bytes32 sealingKey)"
    ),
    Announcement: (
        "Announcement(bytes32 orderHash,bytes32 addressesHash,uint64 issuedAt,uint64 expiresAt)"
    ),
    RefusalTerms: (
        "Refusal(bytes32 orderHash,address prover,string code,uint256 quote,uint64 issuedAt)"
    ),
    Introduction: (
        "Introduction(string peer,string roles,uint256 leastFee,bytes32 addressesHash,"
        "uint64 issuedAt,uint64 expiresAt)"
    ),
    Notice: (
        "Notice(bytes32 orderHash,bytes32 awardHash,bytes32 transactionHash,address settler,uint64 issuedAt)"
    ),
}
assert set(_TYPES) == set(get_args(Signable))

_TYPE_HASHES = {struct: keccak256(text.encode()) for struct, text in _TYPES.items()}
_DOMAIN_TYPE_HASH = keccak256(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_NAME_HASH = keccak256(b"proofmesh")
_VERSION_HASH = keccak256(b"1")


def type_string(struct: type[Record]) -> str:
    """Return the EIP-712 type string of a struct (EIP-712, `encodeType`)."""
    return _TYPES[struct]


def digest(network: Network, value: Signable) -> bytes:
    """Return the 32-byte digest that an account signs (EIP-712, version byte 0x01)."""
    return keccak256(b"\x19\x01" + domain_separator(network) + struct_hash(value))


@lru_cache(maxsize=16)
def domain_separator(network: Network) -> bytes:
    """Return the domain separator: name "proofmesh", version "1", chain id, Escrow."""
    return keccak256(
        _DOMAIN_TYPE_HASH + _NAME_HASH + _VERSION_HASH + _word(network.chain_id) + _word(network.escrow)
    )


def struct_hash(value: Signable) -> bytes:
    """Return `hashStruct(value)`; every field takes one word in the order of the type string."""
    words = (_word(getattr(value, name)) for name in type(value).model_fields)
    return keccak256(_TYPE_HASHES[type(value)] + b"".join(words))


def addresses_hash(addresses: tuple[str, ...]) -> bytes:
    """Return the hash of a list of multiaddresses, encoded as EIP-712 encodes `string[]`."""
    return keccak256(b"".join(keccak256(address.encode()) for address in addresses))


def _word(value: int | bytes | str) -> bytes:
    if isinstance(value, str):
        return keccak256(value.encode())
    if isinstance(value, bytes):
        return value.rjust(32, b"\0")
    return int(value).to_bytes(32, "big")
