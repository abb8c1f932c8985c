# SPDX-License-Identifier: GPL-3.0-or-later
"""Packed call data: batches whose jobs name their words in a pool, and single orders field by field. No I/O.

The two forms are those of contracts/src/Packing.sol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annotated_types import MaxLen

from contracts.abi import artifact, call_data, decode_values, error_name
from contracts.records import Settlement
from protocol.eip712 import digest
from protocol.structs import Award, Network, Order

MAX_BATCH = 128
"""Jobs that one transaction settles at most; they have fewer words than indices of two bytes can name."""
_PROOF_BYTES = 256
_WHOLE = ("input_commitment", "salt")
"""Fields of an order that no two orders share: they stand in the job itself."""
_ORDER_FIELDS = tuple(name for name in Order.model_fields if name not in _WHOLE)
_AWARD_FIELDS = ("prover", "payout", "price", "promise_at", "lock_by")
_RARE = {
    "input_hash": 32,
    "input_size": 8,
    "parameters_hash": 32,
    "price_floor": 16,
    "ramp_start": 8,
    "ramp_end": 8,
    "consumer": 20,
    "context": 32,
}
"""Fields of a single order that are mostly zero, with their bytes: left out together."""
_COMMON = {
    "client": 20,
    "program_id": 32,
    "model_id": 32,
    "kind": 1,
    "input_commitment": 32,
    "token": 20,
    "price_cap": 16,
    "verifier_fee": 16,
    "royalty_bps": 2,
    "collateral": 16,
    "promise_by": 8,
    "final_by": 8,
    "reply_key": 32,
    "salt": 32,
}
_AWARD = {"bid_hash": 32, "prover": 20, "payout": 20, "price": 16, "promise_at": 8, "lock_by": 8}
_HAS_RARE, _OTHER_COLLATERAL = 1, 2


@dataclass(frozen=True)
class BatchJob:
    """One job of a batch; `locking` is the award that locked the order, if another one settles it."""

    settlement: Settlement
    locking: Award | None = None


def settle_batch(jobs: Sequence[BatchJob]) -> bytes:
    """Call data of `settleBatch(packed)`.

    Raises:
        ValueError: more jobs than a batch holds.
    """
    return call_data("Escrow", "settleBatch", pack(jobs))


def refusals_of(answer: bytes) -> tuple[str | None, ...]:
    """Return for each job of a batch None, or the name of the error for which it was skipped.

    Raises:
        ValueError: the data is not what `settleBatch` answers.
    """
    (selectors,) = decode_values(artifact("Escrow").functions["settleBatch"].outputs, answer)
    return tuple(None if selector == bytes(4) else error_name("Escrow", selector) for selector in selectors)


def pack(jobs: Sequence[BatchJob]) -> bytes:
    """Return the packed jobs."""
    if len(jobs) > MAX_BATCH:
        raise ValueError(f"a batch holds {MAX_BATCH} jobs, not {len(jobs)}")
    pool = _Pool()
    packed = b"".join(_packed_job(job, pool) for job in jobs)
    return pool.bytes() + bytes([len(jobs)]) + packed


def unpack(network: Network, data: bytes, behind: bytes = b"") -> tuple[BatchJob, ...]:
    """Return the jobs of packed data, as the Escrow reads them: an index may name a word of what lies `behind` in the
    call data, where zeros follow. Jobs with a field that does not fit its type, which it skips, are left out.

    Raises:
        ValueError: the data is cut, or goes on.
    """
    reader = _Reader(data, behind)
    reader.take(32 * reader.number(2))
    jobs = tuple(_read_job(network, reader) for _ in range(reader.number(1)))
    if reader.rest:
        raise ValueError(f"{reader.rest} bytes follow the last job of a batch")
    return tuple(job for job in jobs if job is not None)


def pack_single(order: Order, award: Award) -> bytes:
    """Return an order and one of its awards as `lockPacked` and `expirePacked` read them.

    Raises:
        ValueError: a number needs more bytes than its field has.
    """
    rare = any(_number(getattr(order, name)) for name in _RARE)
    other = order.collateral_token != order.token
    packed = bytes([_HAS_RARE * rare + _OTHER_COLLATERAL * other]) + _flat(order, _COMMON)
    packed += order.collateral_token if other else b""
    return packed + (_flat(order, _RARE) if rare else b"") + _flat(award, _AWARD)


class _Pool:
    """Every word once, in the order of first use; the first is zero."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {bytes(32): 0}

    def index(self, value: bytes | int) -> bytes:
        place = self._places.setdefault(_word(value), len(self._places))
        return place.to_bytes(2, "big")

    def bytes(self) -> bytes:
        return len(self._places).to_bytes(2, "big") + b"".join(self._places)


def _packed_job(job: BatchJob, pool: _Pool) -> bytes:
    settlement = job.settlement
    order, signature = settlement.order, settlement.signature
    if len(settlement.proof) != _PROOF_BYTES:
        raise ValueError(f"a proof has {_PROOF_BYTES} bytes, not {len(settlement.proof)}")
    packed = b"".join(pool.index(getattr(order, name)) for name in _ORDER_FIELDS)
    packed += _indices(settlement.award, pool) + pool.index(settlement.settler)
    packed += len(settlement.outputs).to_bytes(2, "big") + len(signature).to_bytes(2, "big")
    packed += bytes([job.locking is not None])
    packed += _word(order.input_commitment) + order.salt + settlement.award.bid_hash + settlement.proof
    packed += b"".join(map(pool.index, settlement.outputs)) + signature
    return packed + (b"" if job.locking is None else job.locking.bid_hash + _indices(job.locking, pool))


def _indices(award: Award, pool: _Pool) -> bytes:
    return b"".join(pool.index(getattr(award, name)) for name in _AWARD_FIELDS)


def _read_job(network: Network, reader: _Reader) -> BatchJob | None:
    words = [reader.word() for _ in _ORDER_FIELDS]
    chosen = [reader.word() for _ in _AWARD_FIELDS]
    settler = reader.word()[-20:]
    outputs, length, voided = reader.number(2), reader.number(2), reader.number(1)
    whole = {"input_commitment": reader.number(32), "salt": reader.take(32)}
    bid_hash, proof = reader.take(32), reader.take(_PROOF_BYTES)
    statement = tuple(int.from_bytes(reader.word(), "big") for _ in range(outputs))
    signature = reader.take(length)
    locking = (reader.take(32), [reader.word() for _ in _AWARD_FIELDS]) if voided else None
    try:
        fields = {name: field_value(Order, name, word) for name, word in zip(_ORDER_FIELDS, words, strict=True)}
        order = Order.model_validate(fields | whole)
        order_hash = digest(network, order)
        settlement = Settlement(order, _read_award(order_hash, bid_hash, chosen), signature, proof, statement, settler)
        return BatchJob(settlement, None if locking is None else _read_award(order_hash, *locking))
    except ValueError:
        return None


def _read_award(order_hash: bytes, bid_hash: bytes, words: Sequence[bytes]) -> Award:
    fields = {name: field_value(Award, name, word) for name, word in zip(_AWARD_FIELDS, words, strict=True)}
    return Award.model_validate({"order_hash": order_hash, "bid_hash": bid_hash, **fields})


class _Reader:
    def __init__(self, data: bytes, behind: bytes) -> None:
        self._data = data
        self._all = data + behind
        self._at = 0

    @property
    def rest(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise ValueError(f"a batch ends after {len(self._data)} bytes")
        self._at += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def word(self) -> bytes:
        """The word of the pool that the next index names."""
        place = 2 + 32 * self.number(2)
        return self._all[place : place + 32].ljust(32, b"\0")


def field_value(kind: type[Order] | type[Award], name: str, word: bytes) -> object:
    """Return what a word holds of a struct's field.

    Raises:
        ValueError: it has more bytes than the field.
    """
    field = kind.model_fields[name]
    size = next((rule.max_length for rule in field.metadata if isinstance(rule, MaxLen)), None)
    if size is None:
        return int.from_bytes(word, "big")
    if any(word[: 32 - size]):
        raise ValueError(f"{name} has more than {size} bytes")
    return word[32 - size :]


def _word(value: bytes | int) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def _number(value: bytes | int) -> int:
    return value if isinstance(value, int) else int.from_bytes(value, "big")


def _flat(struct: Order | Award, fields: dict[str, int]) -> bytes:
    try:
        return b"".join(_number(getattr(struct, name)).to_bytes(size, "big") for name, size in fields.items())
    except OverflowError:
        raise ValueError("a number is too large for its field") from None
