# SPDX-License-Identifier: GPL-3.0-or-later
"""An adversary for constraint systems: perturbs witnesses, and searches for second ones. Plain integers throughout.

Nothing here is shared with proving/constraints beside the type of a system, so that a mistake there is not made twice.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from protocol.scalars import BN254_SCALAR_ORDER
from proving.constraints.system import ConstraintSystem
from proving.sparse import Sparse, exact, from_rows

P = BN254_SCALAR_ORDER
SCALE = int(os.environ.get("SOUNDNESS_SCALE", "1"))
"""How much more than in an ordinary run is tried; `make soundness` sets it."""
Form = dict[int, int]
Row = tuple[Form, Form, Form]


@dataclass(frozen=True)
class Case:
    """A circuit with an honest witness; `known` is what a prover chooses, `outputs` what must follow from it.

    `free` are wires that may differ in pairs: those that are chosen, and what only repeats them.
    """

    system: ConstraintSystem
    witness: tuple[int, ...]
    known: tuple[int, ...]
    outputs: tuple[int, ...]
    free: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Rows:
    """The rows of a system as dicts, and which rows hold a wire."""

    rows: tuple[Row, ...]
    by_wire: Mapping[int, tuple[int, ...]]

    def broken(self, values: Sequence[int] | Mapping[int, int], among: Iterable[int] | None = None) -> list[int]:
        """Return the rows that the values do not satisfy."""
        chosen = range(len(self.rows)) if among is None else among
        return [index for index in chosen if not holds(self.rows[index], values)]

    def of(self, wires: Iterable[int]) -> set[int]:
        return {row for wire in wires for row in self.by_wire.get(wire, ())}


def rows_of(system: ConstraintSystem) -> Rows:
    """Return the rows of a system as dicts."""
    rows = tuple(zip(*(_dicts(side) for side in (system.a, system.b, system.c)), strict=True))
    found: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        for wire in {wire for side in row for wire in side}:
            found.setdefault(wire, []).append(index)
    return Rows(rows, {wire: tuple(places) for wire, places in found.items()})


def system_of(wires: int, public: int, rows: Sequence[Row]) -> ConstraintSystem:
    """Return a system from rows as dicts."""
    return ConstraintSystem(wires, public, *(from_rows(wires, [row[side] for row in rows]) for side in range(3)))


def with_row(system: ConstraintSystem, row: int, changed: Row) -> ConstraintSystem:
    """Return the system with one row put in another's place."""
    sides = [_spliced(old, row, new) for old, new in zip((system.a, system.b, system.c), changed, strict=True)]
    return ConstraintSystem(system.wires, system.public, *sides)


def _spliced(matrix: Sparse, row: int, form: Form) -> Sparse:
    start, end = int(matrix.indptr[row]), int(matrix.indptr[row + 1])
    new = sorted((wire, c) for wire, c in form.items() if c)
    indptr = matrix.indptr.copy()
    indptr[row + 1 :] += len(new) - (end - start)
    indices = np.concatenate((matrix.indices[:start], [w for w, _ in new], matrix.indices[end:])).astype(np.int64)
    values = np.empty(len(indices), dtype=object)
    values[:start], values[start + len(new) :] = matrix.values[:start], matrix.values[end:]
    values[start : start + len(new)] = [c for _, c in new]
    return Sparse(matrix.width, indptr, indices, exact(values) if matrix.values.dtype != object else values)


def boolean(wire: int) -> Row:
    return {wire: 1}, {wire: 1, 0: -1}, {}


def linear(form: Form) -> Row:
    return {}, {}, form


def bits(source: Form, wires: Sequence[int]) -> list[Row]:
    """The rows of a binary decomposition."""
    total = dict(source)
    for place, wire in enumerate(wires):
        total[wire] = total.get(wire, 0) - (1 << place)
    return [*map(boolean, wires), linear(total)]


# --- perturbation -----------------------------------------------------------------------------


def survivors(case: Case, wires: Iterable[int], generator: random.Random) -> list[tuple[int, int]]:
    """Return (wire, value) for each lone change of a wire that breaks no row: by one, flipped, negated, random."""
    rows, found = rows_of(case.system), []
    values = list(case.witness)
    for wire in wires:
        honest = values[wire]
        for other in {(honest + 1) % P, (1 - honest) % P, -honest % P, generator.randrange(P)} - {honest}:
            values[wire] = other
            if not rows.broken(values, rows.by_wire.get(wire, ())):
                found.append((wire, other))
        values[wire] = honest
    return found


def surviving_pairs(case: Case, count: int, generator: random.Random) -> list[tuple[int, int]]:
    """Return pairs of wires whose joint change breaks no row; half of the pairs stand in one row together."""
    rows, found = rows_of(case.system), []
    values = list(case.witness)
    together = [row for row in rows.rows if len({wire for side in row for wire in side} - {0}) > 1]
    for turn in range(count):
        if turn % 2 and together:
            row = generator.choice(together)
            pair = generator.sample(sorted({wire for side in row for wire in side} - {0}), 2)
        else:
            pair = generator.sample(range(1, case.system.wires), 2)
        honest = [values[wire] for wire in pair]
        for wire, old in zip(pair, honest, strict=True):
            values[wire] = generator.choice([(old + 1) % P, (old - 1) % P, (1 - old) % P, generator.randrange(P)])
        changed = [values[wire] for wire in pair] != honest
        if changed and not set(pair) & case.free and not rows.broken(values, rows.of(pair)):
            found.append((pair[0], pair[1]))
        for wire, old in zip(pair, honest, strict=True):
            values[wire] = old
    return found


# --- search -----------------------------------------------------------------------------------


@dataclass
class Search:
    """All assignments that satisfy a system, for tiny ones: fills in what rows force, tries both values of booleans.

    `budget` bounds the number of branches tried; `exhausted` says that it was used up, `open_ended` that somewhere a
    wire was left that no row pins to finitely many values (such assignments are yielded with the wire missing).
    """

    system: ConstraintSystem
    budget: int = 20_000
    exhausted: bool = False
    open_ended: bool = False
    rows: Rows = field(init=False)
    finite: dict[int, tuple[int, ...]] = field(init=False)
    """The values that rows of a single wire leave to it."""

    def __post_init__(self) -> None:
        self.rows = rows_of(self.system)
        self.finite = {}
        for row in self.rows.rows:
            wires = _unknown(row, {0: 1})
            if len(wires) == 1 and (solved := _solve(row, {0: 1}, wire := min(wires))) is not None:
                self.finite[wire] = tuple(each for each in self.finite.get(wire, solved) if each in solved)

    def solutions(self, known: Mapping[int, int]) -> Iterator[dict[int, int]]:
        """Yield every assignment that agrees with the known wires."""
        values = {0: 1}
        try:
            for wire, value in known.items():
                self._set(values, wire, value % P)
            forced = self._force(values, set(range(len(self.rows.rows))))
        except _Contradiction:
            return
        yield from self._branch(forced)

    def _branch(self, values: dict[int, int]) -> Iterator[dict[int, int]]:
        wire, candidates = self._choice(values)
        if wire is None:
            if len(values) < self.system.wires and self.rows.of(set(range(self.system.wires)) - set(values)):
                self.open_ended = True
            yield values
            return
        for candidate in candidates:
            if self.budget <= 0:
                self.exhausted = True
                return
            self.budget -= 1
            trial = dict(values)
            try:
                self._set(trial, wire, candidate)
                trial = self._force(trial, set(self.rows.by_wire[wire]))
            except _Contradiction:
                continue
            yield from self._branch(trial)

    def _choice(self, values: dict[int, int]) -> tuple[int | None, tuple[int, ...]]:
        """Return an unknown wire that has finitely many values, the one with most rows; or what another row leaves."""
        open_wires = [wire for wire in self.finite if wire not in values]
        if open_wires:
            wire = max(open_wires, key=lambda each: len(self.rows.by_wire[each]))
            return wire, self.finite[wire]
        for row in self.rows.rows:
            unknown = _unknown(row, values)
            if len(unknown) == 1 and (solved := _solve(row, values, min(unknown))) is not None:
                return min(unknown), solved
        return None, ()

    def _force(self, values: dict[int, int], dirty: set[int]) -> dict[int, int]:
        while dirty:
            row = self.rows.rows[dirty.pop()]
            unknown = _unknown(row, values)
            if not unknown:
                if not holds(row, values):
                    raise _Contradiction
            elif len(unknown) == 1:
                wire = next(iter(unknown))
                # What a row of one wire says is in `finite` already.
                solved = None if len(set().union(*row) - {0}) == 1 else _solve(row, values, wire)
                if solved is not None and len(solved) == 0:
                    raise _Contradiction
                if solved is not None and len(solved) == 1:
                    self._set(values, wire, solved[0])
                    dirty |= set(self.rows.by_wire[wire])
        return values

    def _set(self, values: dict[int, int], wire: int, value: int) -> None:
        if values.setdefault(wire, value) != value or value not in self.finite.get(wire, (value,)):
            raise _Contradiction


class _Contradiction(Exception):
    pass


def _unknown(row: Row, values: Mapping[int, int]) -> set[int]:
    """Return the wires that a row still says something of; a factor that is zero makes the other one irrelevant."""
    a, b, c = ({wire for wire in side if wire not in values} for side in row)
    for unknown, side in ((a, row[0]), (b, row[1])):
        if not unknown and sum(coefficient * values[wire] for wire, coefficient in side.items()) % P == 0:
            return c
    return a | b | c


def _solve(row: Row, values: Mapping[int, int], wire: int) -> tuple[int, ...] | None:
    """Return the values of the row's one unknown wire, or None if it may have any."""
    (a1, a0), (b1, b0), (c1, c0) = (_affine(side, values, wire) for side in row)
    square, middle, constant = a1 * b1 % P, (a1 * b0 + a0 * b1 - c1) % P, (a0 * b0 - c0) % P
    if square == 0 and middle == 0:
        return None if constant == 0 else ()
    if square == 0:
        return (-constant * middle % P if middle in (1, P - 1) else -constant * pow(middle, -1, P) % P,)
    half = middle * pow(2 * square, -1, P) % P
    root = _square_root((half * half - constant * pow(square, -1, P)) % P)
    if root is None:
        return ()
    return tuple(sorted({(-half + root) % P, (-half - root) % P}))


def _square_root(value: int) -> int | None:
    """Tonelli and Shanks."""
    if value == 0:
        return 0
    if pow(value, (P - 1) // 2, P) != 1:
        return None
    odd, twos = P - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    z = 5
    assert pow(z, (P - 1) // 2, P) == P - 1
    m, c, t, r = twos, pow(z, odd, P), pow(value, odd, P), pow(value, (odd + 1) // 2, P)
    while t != 1:
        i, power = 0, t
        while power != 1:
            i, power = i + 1, power * power % P
        b = pow(c, 1 << (m - i - 1), P)
        m, c = i, b * b % P
        t, r = t * c % P, r * b % P
    return r


def _affine(side: Form, values: Mapping[int, int], wire: int) -> tuple[int, int]:
    return side.get(wire, 0), sum(c * values.get(w, 0) for w, c in side.items() if w != wire)


def holds(row: Row, values: Sequence[int] | Mapping[int, int]) -> bool:
    # A wire that a search has left open stands in such rows only where the other factor is zero.
    at = (lambda wire: values.get(wire, 0)) if isinstance(values, dict) else values.__getitem__
    a, b, c = (sum(coefficient * at(wire) for wire, coefficient in side.items()) for side in row)
    return bool((a * b - c) % P == 0)


def _dicts(matrix: Sparse) -> list[Form]:
    return [matrix.row(index) for index in range(matrix.rows)]
