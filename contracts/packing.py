# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches as `settleBatch` takes them: packed, with a dictionary for words that come again. No I/O.

The format is that of contracts/src/Packing.sol and of `_readPacked` in Escrow.sol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from annotated_types import MaxLen

from contracts.abi import artifact, call_data, decode_values, error_name
from contracts.records import Settlement
from protocol.eip712 import digest
from protocol.structs import Award, Network, Order

MAX_BATCH = 128
"""Jobs that one transaction settles at most."""
MAX_DICTIONARY = 127
_PROOF_BYTES = 256
_DICTIONARY_TAG = 128


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
    dictionary = _dictionary(jobs)
    packed = bytearray([len(dictionary)])
    for word in dictionary:
        packed += word
    packed.append(len(jobs))
    places = {word: _DICTIONARY_TAG + place for place, word in enumerate(dictionary)}
    for job in jobs:
        settlement = job.settlement
        packed.append(0 if job.locking is None else 1)
        for word in _words(job):
            packed += _packed_word(word, places)
        packed += len(settlement.outputs).to_bytes(2, "big")
        for output in settlement.outputs:
            packed += _packed_word(output.to_bytes(32, "big"), places)
        packed += len(settlement.signature).to_bytes(2, "big") + settlement.signature
        if len(settlement.proof) != _PROOF_BYTES:
            raise ValueError(f"a proof has {_PROOF_BYTES} bytes, not {len(settlement.proof)}")
        packed += settlement.proof
    return bytes(packed)


def unpack(network: Network, data: bytes) -> tuple[BatchJob, ...]:
    """Return the jobs of packed data.

    Raises:
        ValueError: it is not what `pack` writes.
    """
    reader = _Reader(data)
    jobs = tuple(_read_job(network, reader) for _ in range(reader.number(1)))
    if reader.rest:
        raise ValueError(f"{reader.rest} bytes follow the last job of a batch")
    return jobs


def _words(job: BatchJob) -> Iterable[bytes]:
    """The words of a job: order, award and locking award without the order's hash, settler."""
    settlement = job.settlement
    yield from (_word(getattr(settlement.order, name)) for name in Order.model_fields)
    for award in (settlement.award, job.locking):
        if award is not None:
            yield from (_word(getattr(award, name)) for name in _AWARD_FIELDS)
    yield _word(settlement.settler)


_AWARD_FIELDS = tuple(name for name in Award.model_fields if name != "order_hash")


def _word(value: bytes | int) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def _packed_word(word: bytes, places: dict[bytes, int]) -> bytes:
    if word in places:
        return bytes([places[word]])
    short = word.lstrip(b"\0")
    return bytes([len(short)]) + short


def _dictionary(jobs: Sequence[BatchJob]) -> list[bytes]:
    """The words that save most: a place costs 32 bytes once, and each use saves the word's own length."""
    uses = Counter(word for job in jobs for word in _words(job))
    saved = {word: (count * _cost(word) - _full_cost(word), word) for word, count in uses.items() if count > 1}
    best = sorted((entry for entry in saved.values() if entry[0] > 0), reverse=True)
    return [word for _, word in best[:MAX_DICTIONARY]]


def _cost(word: bytes) -> int:
    return 16 * sum(byte != 0 for byte in word.lstrip(b"\0")) + 4 * word.lstrip(b"\0").count(0)


def _full_cost(word: bytes) -> int:
    return 16 * sum(byte != 0 for byte in word) + 4 * word.count(0)


def _read_job(network: Network, reader: _Reader) -> BatchJob:
    voided = reader.number(1) == 1
    order = Order.model_validate(reader.fields(Order, tuple(Order.model_fields)))
    order_hash = digest(network, order)
    award = Award.model_validate({"order_hash": order_hash, **reader.fields(Award, _AWARD_FIELDS)})
    locking = None
    if voided:
        locking = Award.model_validate({"order_hash": order_hash, **reader.fields(Award, _AWARD_FIELDS)})
    settler = reader.word()[-20:]
    outputs = tuple(int.from_bytes(reader.word(), "big") for _ in range(reader.number(2)))
    signature = reader.take(reader.number(2))
    return BatchJob(Settlement(order, award, signature, reader.take(_PROOF_BYTES), outputs, settler), locking)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._dictionary = [self.take(32) for _ in range(self.number(1))]

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
        tag = self.number(1)
        if tag >= _DICTIONARY_TAG:
            try:
                return self._dictionary[tag - _DICTIONARY_TAG]
            except IndexError:
                raise ValueError(f"a batch has no word {tag - _DICTIONARY_TAG} in its dictionary") from None
        if tag > 32:
            raise ValueError(f"a word has {tag} bytes")
        return self.take(tag).rjust(32, b"\0")

    def fields(self, kind: type[Order] | type[Award], names: Sequence[str]) -> dict[str, object]:
        """Return the fields of a struct, by the types of the model."""
        return {name: _value(kind, name, self.word()) for name in names}


def _value(kind: type[Order] | type[Award], name: str, word: bytes) -> object:
    field = kind.model_fields[name]
    size = next((rule.max_length for rule in field.metadata if isinstance(rule, MaxLen)), None)
    if size is None:
        return int.from_bytes(word, "big")
    if any(word[: 32 - size]):
        raise ValueError(f"{name} has more than {size} bytes")
    return word[32 - size :]
