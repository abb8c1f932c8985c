# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes to the chain and comes from it, as frozen values; the fields of contracts/src/Types.sol."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from protocol.scalars import ZERO_ADDRESS
from protocol.structs import Award, Order


@dataclass(frozen=True)
class Settlement:
    """Everything that proves a job done; `proof` is 256 bytes in the EIP-197 order."""

    order: Order
    award: Award
    signature: bytes
    proof: bytes
    outputs: tuple[int, ...]
    settler: bytes


@dataclass(frozen=True)
class Payment:
    """Where the money of one settlement went, in wei or the units of its tokens (zero is ETH)."""

    prover: bytes
    payout: bytes
    settler: bytes
    fee_to: bytes
    publisher: bytes
    price: int
    royalty: int
    verifier_fee: int
    debited: int
    refunded: int
    locked_prover: bytes
    collateral_returned: int
    bounty: int
    burned: int
    token: bytes = ZERO_ADDRESS
    collateral_token: bytes = ZERO_ADDRESS


class How(IntEnum):
    """Out of what a settlement is paid: the client's balance, the lock of its own award (in time or late),
    or the lock of another award that missed its promise."""

    DIRECT = 0
    KEPT = 1
    LATE = 2
    VOIDED = 3


@dataclass(frozen=True)
class ModelRecord:
    """What a publisher says of a model."""

    program_id: bytes
    bundle_id: bytes
    weights_commitment: bytes
    onnx_hash: bytes
    training_data_root: bytes
    training_record_hash: bytes
    parent_model: bytes
    royalty_bps: int
    licence: str
    uri: str


class Advice(IntEnum):
    """What a publisher says later of a model."""

    NONE = 0
    SUPERSEDED = 1
    BROKEN = 2


@dataclass(frozen=True)
class Program:
    """What the chain knows of a program; `proof_system` is zero for one that does not exist."""

    proof_system: int
    dev: bool
    key_pointer: bytes
    layout: bytes
    setup_id: bytes


class Status(IntEnum):
    """The life of an order on-chain."""

    NONE = 0
    CANCEL_REQUESTED = 1
    LOCKED = 2
    SETTLED = 3
    EXPIRED = 4


@dataclass(frozen=True)
class OrderState:
    """An order's one word: `content` is the first 31 bytes of the locking award's digest (LOCKED) or of the
    settled statement's hash (SETTLED), or the time of a cancel (CANCEL_REQUESTED)."""

    status: Status
    content: bytes

    @property
    def cancelled_from(self) -> int | None:
        """The first second in which the order can be neither locked nor settled, if a cancel was asked."""
        return int.from_bytes(self.content, "big") if self.status is Status.CANCEL_REQUESTED else None
