# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness, read off the interpreter's trace: nothing is solved from the constraints.

Whoever allocates wires records a `Step` that fills them. A step reads the trace (a vector for each node of the
program) and what the prover was given besides the inputs (`given`: blinding, binding and so on, by name), and
writes wires. So the check of the constraints is a check of interpreter and emitter, each against the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from protocol.scalars import BN254_SCALAR_ORDER
from proving.constraints.limbs import ELEMENT_BYTES, LIMBS, residues
from proving.fixedpoint.program import Ref
from proving.sparse import Array


class Run:
    """One witness in the making. `words` is uint64[wires, 4], each wire's residue, little-endian."""

    __slots__ = ("given", "trace", "words")

    def __init__(self, wires: int, trace: Sequence[Array], given: Mapping[str, Sequence[int]]) -> None:
        self.trace = trace
        self.given = given
        self.words = np.zeros((wires, LIMBS), dtype="<u8")
        self.words[0, 0] = 1

    def put(self, first: int, values: Array) -> None:
        """Write the wires from `first` on: int64 or Python integers, of any sign and size."""
        if values.dtype != object and (len(values) == 0 or int(values.min()) >= 0):
            self.words[first : first + len(values), 0] = values
        else:
            self.words[first : first + len(values)] = residues(values)

    def put_integers(self, first: int, values: Sequence[int]) -> None:
        """Write the wires from `first` on from Python integers."""
        joined = b"".join([(each % BN254_SCALAR_ORDER).to_bytes(ELEMENT_BYTES, "little") for each in values])
        self.words[first : first + len(values)] = np.frombuffer(joined, dtype="<u8").reshape(-1, LIMBS)


class Step(Protocol):
    """Fills some wires."""

    def fill(self, run: Run) -> None: ...


@dataclass(frozen=True, slots=True)
class WitnessPlan:
    """How the witness of a circuit is filled in."""

    wires: int
    steps: tuple[Step, ...]

    def witness(self, trace: Sequence[Array], given: Mapping[str, Sequence[int]]) -> Array:
        """Return the residues of all wires, uint8[wires, 32], little-endian.

        `trace` has the vector of each node of the program (int64, or Python integers), `given` the values that are
        neither inputs nor computed, by the names that the statement gives them.
        """
        run = Run(self.wires, trace, given)
        for step in self.steps:
            step.fill(run)
        return run.words.view(np.uint8).reshape(self.wires, ELEMENT_BYTES)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Numbers read off the trace: `(trace[ref] - trace[minus])[elements] + offsets`; what is None is left out."""

    ref: Ref
    elements: Array | None = None
    offsets: Array | None = None
    minus: Ref | None = None

    def take(self, index: Array) -> Reading:
        """Return the numbers at `index` of those that are read."""
        elements = index if self.elements is None else self.elements[index]
        return Reading(self.ref, elements, None if self.offsets is None else self.offsets[index], self.minus)

    def read(self, trace: Sequence[Array]) -> Array:
        values = trace[self.ref] if self.minus is None else trace[self.ref] - trace[self.minus]
        if self.elements is not None:
            values = values[self.elements]
        return values if self.offsets is None else values + self.offsets


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Wires from `first` on are what is read."""

    first: int
    reading: Reading

    def fill(self, run: Run) -> None:
        run.put(self.first, self.reading.read(run.trace))


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Wires from `first` on are what the prover was given under `name`."""

    first: int
    name: str

    def fill(self, run: Run) -> None:
        run.put_integers(self.first, run.given[self.name])


@dataclass(frozen=True, slots=True, eq=False)
class BitsAt:
    """Wires from `first` on are bits of some numbers: bit `places[j]` of number `element[j]`."""

    first: int
    element: Array
    places: Array

    def put(self, run: Run, numbers: Array) -> None:
        """Write the bits of these numbers, which are not negative."""
        bits = numbers[self.element] >> self.places & 1
        run.words[self.first : self.first + len(self.places), 0] = bits.astype(np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class BitsOf:
    """Wires that are the bits of what is read."""

    at: BitsAt
    reading: Reading

    def fill(self, run: Run) -> None:
        self.at.put(run, self.reading.read(run.trace))
