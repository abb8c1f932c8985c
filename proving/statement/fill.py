# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness of a statement: packed elements, secrets and hashes, with every S-box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from protocol.scalars import BN254_SCALAR_ORDER
from proving.constraints.witness import Run
from proving.fixedpoint.program import Ref
from proving.statement.emit_hash import Permutation
from proving.statement.permutation import chain


class Facts:
    """What values are made of: a run, the digests so far, and vectors of the trace as Python integers."""

    __slots__ = ("_vectors", "digests", "run")

    def __init__(self, run: Run) -> None:
        self.run = run
        self.digests: list[int] = []
        self._vectors: dict[Ref, list[int]] = {}

    def vector(self, ref: Ref) -> list[int]:
        if ref not in self._vectors:
            self._vectors[ref] = self.run.trace[ref].tolist()
        return self._vectors[ref]


class Value(Protocol):
    """Where a field element's value comes from."""

    def of(self, facts: Facts) -> int: ...


@dataclass(frozen=True, slots=True)
class Constant:
    value: int

    def of(self, facts: Facts) -> int:
        return self.value


@dataclass(frozen=True, slots=True)
class Secret:
    """What the prover was given under `name`."""

    name: str
    place: int

    def of(self, facts: Facts) -> int:
        return facts.run.given[self.name][self.place]


@dataclass(frozen=True, slots=True)
class Packed:
    """Elements of a node, each shifted to its place: (position, place)."""

    ref: Ref
    word: tuple[tuple[int, int], ...]

    def of(self, facts: Facts) -> int:
        vector = facts.vector(self.ref)
        return sum([vector[position] << place for position, place in self.word])


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of an earlier hash."""

    number: int

    def of(self, facts: Facts) -> int:
        return facts.digests[self.number]


@dataclass(frozen=True, slots=True)
class Total:
    """The sum of some values, or a power of it."""

    values: tuple[Value, ...]
    power: int = 1

    def of(self, facts: Facts) -> int:
        return pow(sum(each.of(facts) for each in self.values), self.power, BN254_SCALAR_ORDER)


class Fill(Protocol):
    """Fills some wires of a statement."""

    def fill(self, facts: Facts) -> None: ...


@dataclass(frozen=True, slots=True)
class Wire:
    wire: int
    value: Value

    def fill(self, facts: Facts) -> None:
        facts.run.put_integers(self.wire, (self.value.of(facts),))


@dataclass(frozen=True, slots=True)
class Hash:
    """The wires of a chain of permutations."""

    permutations: tuple[Permutation, ...]
    elements: tuple[Value, ...]

    def fill(self, facts: Facts) -> None:
        trails: list[list[int]] = []
        facts.digests.append(chain([each.of(facts) for each in self.elements], trails))
        for permutation, trail in zip(self.permutations, trails, strict=True):
            for place in reversed(permutation.constant):
                # An S-box over a constant is no wire.
                del trail[3 * place : 3 * place + 3]
            facts.run.put_integers(permutation.first, trail)


@dataclass(frozen=True, slots=True)
class StatementStep:
    """Fills all wires of a statement, in the order in which they were made."""

    fills: tuple[Fill, ...]

    def fill(self, run: Run) -> None:
        facts = Facts(run)
        for each in self.fills:
            each.fill(facts)
