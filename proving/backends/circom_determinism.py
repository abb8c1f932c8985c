# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the inputs of a Circom circuit determine its statement? `constraints/determinism.py` for simplified circuits.

circom solves linear rows and puts the solutions into the others. What is left has no row of its own for a value that
once was a signal, so the rules of determinism.py, which go from wire to wire, stop. Two steps lead back:

- *Bits*: `L * (L - 1) = 0` with a combination L for the bit that was solved for. L gets a wire, and its row, scaled so
  that the coefficients are small integers again, is the decomposition that the rule for bits knows.
- *Span*: the combinations whose value is determined form a space. A row whose factors lie in it puts its third side
  into it; a wire that lies in it is determined. (A round of Poseidon is a few rows in as many wires, none of
  which says one wire alone.)

Both steps are sound for any rows: they add no rule but linear algebra in the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints.determinism import analyse
from proving.constraints.determinism_rows import signed
from proving.constraints.system import ONE, ConstraintSystem
from proving.sparse import Sparse, from_rows, stack

Form = dict[int, int]
MAX_TERMS = 20_000_000
"""Bound on the terms that the span step may touch; a circuit beyond it is reported as not shown."""


def undetermined(system: ConstraintSystem, known: Iterable[int], outputs: Iterable[int]) -> tuple[int, ...]:
    """Return the outputs that are not shown to follow from the known wires."""
    wanted, given = list(outputs), set(known)
    named = with_bit_wires(system)
    while True:
        found = analyse(named, given)
        free = set(found.free(range(named.wires)))
        if not free.intersection(wanted):
            return ()
        more = determined_by_span(named, free)
        if not more:
            return tuple(sorted(free.intersection(wanted)))
        given |= more


def with_bit_wires(system: ConstraintSystem) -> ConstraintSystem:
    """Return an equivalent system in which each boolean combination is a wire with a row that says what it is."""
    replaced: dict[int, int] = {}
    definitions: list[Form] = []
    for row in np.flatnonzero(np.diff(system.c.indptr) == 0).tolist():
        left, right = system.a.row(row), system.b.row(row)
        form = _boolean(left, right)
        if form is None or len(form) < 2:
            continue
        wire = system.wires + len(definitions)
        replaced[row] = wire
        definitions.append(_small({**form, wire: -1}))
    if not definitions:
        return system
    wires = system.wires + len(definitions)
    a, b = _with_rows(system.a, wires, replaced, 0), _with_rows(system.b, wires, replaced, -1)
    c = Sparse(wires, system.c.indptr, system.c.indices, system.c.values)
    empty = from_rows(wires, [{}] * len(definitions))
    return ConstraintSystem(
        wires, system.public, stack([a, empty], wires), stack([b, empty], wires),
        stack([c, from_rows(wires, definitions)], wires),
    )  # fmt: skip


def determined_by_span(system: ConstraintSystem, free: set[int]) -> set[int]:
    """Return those of the free wires whose value follows by linear algebra from rows with determined factors."""
    span = _Span(free)
    waiting = [
        tuple({wire: value for wire, value in side.row(row).items() if wire in free} for side in sides)
        for row, sides in ((row, (system.a, system.b, system.c)) for row in range(system.constraints))
    ]
    waiting = [row for row in waiting if any(row)]
    progress = True
    while progress and span.terms < MAX_TERMS:
        progress, left = False, []
        for row in waiting:
            if span.holds(row[0]) and span.holds(row[1]):
                progress |= span.add(row[2])
            else:
                left.append(row)
        progress &= len(left) < len(waiting)
        waiting = left
    return {wire for wire in free if span.holds({wire: 1})}


class _Span:
    """The space of determined combinations, modulo those of determined wires: rows in echelon form by their pivot."""

    def __init__(self, free: set[int]) -> None:
        self.terms = 0
        self._free = free
        self._rows: dict[int, Form] = {}

    def holds(self, form: Mapping[int, int]) -> bool:
        return not self._reduced(form)

    def add(self, form: Mapping[int, int]) -> bool:
        """Add a combination; say whether it was new."""
        rest = self._reduced(form)
        if not rest:
            return False
        # The newest wire: rows come in the order of computation, so that later ones need fewer reductions.
        pivot = max(rest)
        inverse = pow(rest[pivot], -1, R)
        self._rows[pivot] = {wire: value * inverse % R for wire, value in rest.items()}
        return True

    def _reduced(self, form: Mapping[int, int]) -> Form:
        rest = {wire: value % R for wire, value in form.items()}
        done: Form = {}
        while rest:
            pivot = max(rest)
            factor = rest.pop(pivot)
            row = self._rows.get(pivot)
            if row is None:
                done[pivot] = factor
                continue
            self.terms += len(row)
            for wire, value in row.items():
                if wire == pivot:
                    continue
                total = (rest.get(wire, 0) - factor * value) % R
                if total:
                    rest[wire] = total
                else:
                    rest.pop(wire, None)
        return done


def _boolean(left: Form, right: Form) -> Form | None:
    """Return L if the row says `L * (L - 1) = 0`, in either order and up to sign."""
    for first, second in ((left, right), (right, left)):
        for sign in (1, -1):
            shifted = {wire: sign * value % R for wire, value in second.items()}
            shifted[ONE] = (shifted.get(ONE, 0) + 1) % R
            if {w: v for w, v in shifted.items() if v} == {w: v % R for w, v in first.items()}:
                return first
    return None


def _small(form: Form) -> Form:
    """Return the multiple of a combination that has the smallest coefficients, of those that make one of them 1."""
    best: Form | None = None
    for value in set(form.values()):
        factor = pow(value, -1, R)
        scaled = {wire: signed(each * factor) for wire, each in form.items()}
        if best is None or _largest(scaled) < _largest(best):
            best = scaled
    return best or form


def _largest(form: Form) -> int:
    # The constant does not count: it is no unknown.
    return max(abs(value) for wire, value in form.items() if wire != ONE)


def _with_rows(matrix: Sparse, wires: int, replaced: Mapping[int, int], constant: int) -> Sparse:
    rows = [
        {ONE: constant, replaced[row]: 1} if row in replaced else matrix.row(row) for row in range(matrix.rows)
    ]
    return from_rows(wires, rows)
