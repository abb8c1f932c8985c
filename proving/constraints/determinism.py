# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a circuit admit one output for an input? Answered from its rows alone, without trust in who emitted them.

A wire is *determined* if any two assignments that satisfy all rows and agree on the wires in `known` agree on it.
That is undecidable in practice for rows in general, so rules are applied until nothing new follows; a wire they do
not reach may be free. Each rule is sound, so what is reported as determined is.

1. given: the wires in `known`, and the one.
2. linear, product: the only unknown wire of a row, with a constant coefficient, not in a factor.
3. bits: a row whose unknown wires have bounded ranges (from `b * (b - 1) = 0` and sums of such) and coefficients of
   which each outweighs all smaller ones together, the sum staying below the field's order (`unique_sum`). Binary
   decompositions, mixed radices, packings.
4. factor: an unknown in one factor, where the other factor's range excludes 0.
5. buckets: a thermometer whose states leave disjoint ranges to a determined value.
6. division: quotient and remainder, both bounded, with the remainder below the divisor by another row; the divisor
   may be a constant.
7. zero test: `d * u = 1 - z`, `d * z = 0` determines z, and leaves u free where d is 0.

Rules 2 and 3 go in waves over CSR arrays; the others are asked only where those are stuck.

*Known* for a compiled circuit are its inputs (their wires or their bits), the blinding and the output key, the
parameters with their blinding, and the binding; they are free by design, since each is a choice of who proves, and
the commitment (or the verifying key) pins it. Everything else in the statement must follow. Whether the commitment
itself pins the inputs is the same question asked from the other side: `with_definitions` names the elements that
are hashed, and then those are known and the inputs must follow.

Sources: Ecne (F. Wang, 0xPARC, 2022: github.com/franklynwang/EcneProject), rules 2 and 3; Picus / QED2 (S. Pailoor,
Y. Chen, F. Wang, C. Rodriguez, J. Van Gaffen, J. Morton, M. Chu, B. Gu, Y. Feng, I. Dillig, "Automated Detection of
Under-Constrained Circuits in Zero-Knowledge Proofs", PLDI 2023), uniqueness propagation and its big-integer and
zero-test lemmas; circomspect (Trail of Bits), the classes of mistakes. Rules 5 and 6 are ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from proving.constraints import determinism_gadgets as gadgets
from proving.constraints.determinism_ranges import Ranges, chains, propagate, seed
from proving.constraints.determinism_rows import Rows, distinct, require_canonical, rows_of, signed, spans
from proving.constraints.system import ONE, ConstraintSystem
from proving.sparse import Array, Sparse, exact


@dataclass(frozen=True, slots=True, eq=False)
class Determinism:
    """Which wires are determined (bool per wire), and how many of them by which rule."""

    determined: Array
    by_rule: Mapping[str, int]

    def free(self, wires: Iterable[int]) -> tuple[int, ...]:
        """Return those of some wires that are not shown to be determined."""
        return tuple(wire for wire in wires if not self.determined[wire])


def undetermined(system: ConstraintSystem, known: Iterable[int], outputs: Iterable[int]) -> tuple[int, ...]:
    """Return the outputs that the known wires are not shown to determine; empty for a sound circuit.

    Raises:
        MalformedCircuitError: a row is not in canonical form.
    """
    return analyse(system, known).free(outputs)


def analyse(system: ConstraintSystem, known: Iterable[int]) -> Determinism:
    """Apply the rules until nothing follows any more; see the module's docstring.

    Raises:
        MalformedCircuitError: a row is not in canonical form.
    """
    require_canonical(system)
    rows = rows_of(system)
    work = _Work(rows, seed(rows))
    work.determine(np.array([ONE, *known], dtype=np.int64), "given")
    work.waves()
    if not work.determined.all():
        work.gadgets()
    return Determinism(work.determined, dict(work.by_rule))


def with_definitions(system: ConstraintSystem, forms: Sequence[Mapping[int, int]]) -> tuple[ConstraintSystem, range]:
    """Return the system with a new wire for each combination, equal to it, and these wires."""
    wires = system.wires + len(forms)
    names = range(system.wires, wires)
    rows = [sorted({**form, wire: -1}.items()) for wire, form in zip(names, forms, strict=True)]
    empty = np.full(len(rows), len(system.a.indices)), np.full(len(rows), len(system.b.indices))
    ends = len(system.c.indices) + np.cumsum([len(row) for row in rows], dtype=np.int64)
    c = Sparse(
        wires,
        np.concatenate((system.c.indptr, ends)),
        np.concatenate((system.c.indices, [wire for row in rows for wire, _ in row])).astype(np.int64),
        exact(np.array([*system.c.values.tolist(), *(value for row in rows for _, value in row)], dtype=object)),
    )  # fmt: skip
    a, b = (
        Sparse(wires, np.concatenate((old.indptr, more)), old.indices, old.values)
        for old, more in zip((system.a, system.b), empty, strict=True)
    )
    return ConstraintSystem(wires, system.public, a, b, c), names


class _Work:
    """The state of one analysis: what is determined, and per row what is still missing."""

    def __init__(self, rows: Rows, ranges: Ranges) -> None:
        self.rows, self.ranges = rows, ranges
        self.determined: Array = np.zeros(rows.wires, dtype=bool)
        self.by_rule: Counter[str] = Counter()
        row_of = np.repeat(np.arange(rows.count), np.diff(rows.row_ptr))
        self.missing: Array = np.diff(rows.row_ptr)
        self.wire_sum: Array = _sums(row_of, rows.row_wires, rows.count)
        self.in_factors: Array = _sums(rows.wire_rows, rows.in_factor, rows.count)
        self.unbounded: Array = _sums(row_of, ~ranges.bounded[rows.row_wires], rows.count)
        self.touched: list[Array] = [np.arange(rows.count)]

    def determine(self, wires: Array, rule: str) -> bool:
        """Mark wires as determined and count them out of their rows; says whether any was new."""
        fresh = distinct(wires)
        fresh = fresh[~self.determined[fresh]]
        if not len(fresh):
            return False
        self.determined[fresh] = True
        self.by_rule[rule] += len(fresh)
        entries, counts = spans(self.rows.wire_ptr, fresh)
        rows, each = self.rows.wire_rows[entries], np.repeat(fresh, counts)
        np.subtract.at(self.missing, rows, 1)
        np.subtract.at(self.wire_sum, rows, each)
        np.subtract.at(self.in_factors, rows, self.rows.in_factor[entries].astype(np.int64))
        np.subtract.at(self.unbounded, rows, (~self.ranges.bounded[each]).astype(np.int64))
        self.touched.append(rows)
        return True

    def waves(self) -> None:
        """Rules 2 and 3 on the rows that changed, until none does."""
        while self.touched:
            rows = distinct(np.concatenate(self.touched))
            self.touched = []
            rows = rows[(self.missing[rows] > 0) & (self.in_factors[rows] == 0)]
            single = rows[self.missing[rows] == 1]
            for kind, name in ((True, "linear"), (False, "product")):
                chosen = single[self.rows.linear[single] == kind]
                self.determine(self.wire_sum[chosen], name)
            several = rows[(self.missing[rows] > 1) & (self.unbounded[rows] == 0)]
            self._take([wire for row in several.tolist() for wire in self._bits(row)], "bits")

    def _bits(self, row: int) -> list[int]:
        start, end = int(self.rows.c.indptr[row]), int(self.rows.c.indptr[row + 1])
        wires = self.rows.c.indices[start:end]
        unknown = ~self.determined[wires]
        names: list[int] = wires[unknown].tolist()
        coefficients = [signed(value) for value in self.rows.c.values[start:end][unknown].tolist()]
        unique = gadgets.unique_sum(coefficients, [self.ranges.reach(wire) for wire in names])
        return names if unique else []

    def gadgets(self) -> None:
        """The other rules, with intervals of all wires, until nothing follows."""
        thermometers = chains(self.ranges)
        hanging = self._hanging()
        candidates = (*thermometers, *self._lone(thermometers, hanging))
        propagate(self.rows, self.ranges, (
            found for chain in candidates for found in gadgets.bucket_ranges(self.rows, self.ranges, hanging, chain)
        ))  # fmt: skip
        self._take(self.ranges.constants(), "linear")
        rows = np.repeat(np.arange(self.rows.count), np.diff(self.rows.row_ptr))
        waiting = ~self.determined[self.rows.row_wires] & ~self.ranges.bounded[self.rows.row_wires]
        self.unbounded = _sums(rows, waiting, self.rows.count)
        self.touched = [np.arange(self.rows.count)]
        self.waves()
        while self._one_round(thermometers):
            self.waves()

    def _one_round(self, thermometers: list[list[int]]) -> bool:
        """Ask the rules in turn until one finds something; the waves go first again then."""
        rows, ranges, determined = self.rows, self.ranges, self.determined
        anchored = self._anchored()
        progress = False
        for chain in (*thermometers, *self._lone(thermometers, anchored)):
            progress |= self._take(gadgets.buckets(rows, ranges, determined, anchored, chain), "buckets")
        if progress:
            return True
        for row in np.flatnonzero(anchored & (self.missing > 1)).tolist():
            progress |= self._take(gadgets.constant_division(rows, ranges, determined, row), "division")
        for row in self._half_known().tolist():
            progress |= self._take(gadgets.division(rows, ranges, determined, row), "division")
            progress |= self._take(gadgets.nonzero_factor(rows, ranges, determined, row), "factor")
            progress |= self._take(gadgets.zero_test(rows, determined, row), "zero test")
        return progress

    def _take(self, wires: Iterable[int], rule: str) -> bool:
        return self.determine(np.array(list(wires), dtype=np.int64), rule)

    def _anchored(self) -> Array:
        """Return which linear rows have unknown wires, all bounded, beside determined ones."""
        known = self.determined[self.rows.row_wires] & (self.rows.row_wires != ONE)
        rows = np.repeat(np.arange(self.rows.count), np.diff(self.rows.row_ptr))
        some = _sums(rows, known, self.rows.count) > 0
        return np.asarray(self.rows.linear & (self.missing > 0) & (self.unbounded == 0) & some)

    def _half_known(self) -> Array:
        """Return product rows with unknown wires, of which one factor is determined and the other is not."""
        waiting = [
            _sums(side.row_of_entry(), ~self.determined[side.indices], side.rows) > 0
            for side in (self.rows.a, self.rows.b)
        ]
        return np.flatnonzero((waiting[0] != waiting[1]) & ~self.rows.linear & ~self.ranges.univariate)

    def _hanging(self) -> Array:
        """Return linear rows with one unbounded wire."""
        rows = np.repeat(np.arange(self.rows.count), np.diff(self.rows.row_ptr))
        return np.asarray(
            self.rows.linear & (_sums(rows, ~self.ranges.bounded[self.rows.row_wires], self.rows.count) == 1)
        )

    def _lone(self, thermometers: list[list[int]], chosen: Array) -> list[list[int]]:
        """Return undetermined booleans in two of the chosen rows or more: thermometers with one threshold."""
        chained = {wire for chain in thermometers for wire in chain}
        wires = np.repeat(np.arange(self.rows.wires), np.diff(self.rows.wire_ptr))
        seen = _sums(wires, chosen[self.rows.wire_rows], self.rows.wires)
        some = np.flatnonzero((seen > 1) & self.ranges.bounded & ~self.determined).tolist()
        return [[wire] for wire in some if self.ranges.intervals[wire] == (0, 1) and wire not in chained]


def _sums(groups: Array, amounts: Array, count: int) -> Array:
    totals = np.zeros(count, dtype=np.int64)
    np.add.at(totals, groups, amounts.astype(np.int64))
    return totals
