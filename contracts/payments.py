# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the packed parts of Locked and Settled events; their layout is in contracts/src/IEscrow.sol. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.records import How, Payment
from protocol.scalars import ZERO_ADDRESS
from protocol.structs import Award

BOUNTY_DIVISOR = 4
"""Who settles an order whose lock missed its promise earns this part of the collateral."""
_WORD = 32


def decode_payment(data: bytes) -> tuple[Payment, tuple[int, ...]]:
    """Return (payment, outputs).

    Raises:
        ValueError: the data is not a packed payment.
    """
    reader = _Reader(data)
    flags, royalty_bps = reader.number(1), reader.number(2)
    how, to_settler = How(flags & 3), bool(flags & 4)
    prover, payout, settler, publisher = (reader.take(20) for _ in range(4))
    price, verifier_fee, collateral = (reader.number(16) for _ in range(3))
    locked_prover = {How.DIRECT: ZERO_ADDRESS}.get(how, prover)
    debited, refunded = (price + verifier_fee if how is How.DIRECT else 0), 0
    if how is How.VOIDED:
        locked_prover, locked_price = reader.take(20), reader.number(16)
        debited, refunded = max(0, price - locked_price), max(0, locked_price - price)
    token, collateral_token = reader.currencies(flags)
    missed = how in (How.LATE, How.VOIDED)
    bounty = collateral // BOUNTY_DIVISOR if missed else 0
    payment = Payment(
        prover=prover,
        payout=payout,
        settler=settler,
        fee_to=settler if to_settler else payout,
        publisher=publisher,
        price=price,
        royalty=price * royalty_bps // 10_000,
        verifier_fee=verifier_fee,
        debited=debited,
        refunded=refunded,
        locked_prover=locked_prover,
        collateral_returned=collateral if how is How.KEPT else 0,
        bounty=bounty,
        burned=collateral - bounty if missed else 0,
        token=token,
        collateral_token=collateral_token,
    )
    return payment, reader.words()


@dataclass(frozen=True)
class LockTerms:
    """What a lock holds, and for which award."""

    award_hash: bytes
    award: Award
    reserved: int
    collateral: int
    token: bytes
    collateral_token: bytes


def decode_lock(order_hash: bytes, prover: bytes, data: bytes) -> LockTerms:
    """Return the terms of a lock.

    Raises:
        ValueError: the data is not packed terms.
    """
    reader = _Reader(data)
    award_hash, bid_hash = reader.take(_WORD), reader.take(_WORD)
    flags, payout = reader.number(1), reader.take(20)
    price, promise_at, lock_by = reader.number(16), reader.number(8), reader.number(8)
    verifier_fee, collateral = reader.number(16), reader.number(16)
    token, collateral_token = reader.currencies(flags)
    award = Award(
        order_hash=order_hash,
        bid_hash=bid_hash,
        prover=prover,
        payout=payout,
        price=price,
        promise_at=promise_at,
        lock_by=lock_by,
    )
    return LockTerms(award_hash, award, price + verifier_fee, collateral, token, collateral_token)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise ValueError(f"a payment ends after {len(self._data)} bytes")
        self._at += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def currencies(self, flags: int) -> tuple[bytes, bytes]:
        """Return token and collateral token: ETH and the same one, if the flags do not say that others follow."""
        token = self.take(20) if flags & 8 else ZERO_ADDRESS
        return token, self.take(20) if flags & 16 else token

    def words(self) -> tuple[int, ...]:
        """Return what is left, as words."""
        left = len(self._data) - self._at
        return tuple(self.number(_WORD) for _ in range((left + _WORD - 1) // _WORD))
