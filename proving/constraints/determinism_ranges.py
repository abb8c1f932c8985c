# SPDX-License-Identifier: GPL-3.0-or-later
"""Intervals of wires that follow from the rows alone: from `b * (b - 1) = 0` up through sums and products.

"Wire w is in [low, high]" says: in every assignment that satisfies the rows, w is the residue of an integer in
that interval. No claim of the compiler is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from proving.constraints.determinism_rows import PRIME, Form, Rows, distinct, roots, signed, spans
from proving.constraints.system import ONE
from proving.sparse import Array

WIDEST = 1 << 252
"""An interval that leaves (-2^252, 2^252) is dropped: sums of two stay below the field's order."""

Interval = tuple[int, int]


@dataclass(slots=True, eq=False)
class Ranges:
    """What is known of each wire. `univariate` marks the product rows that speak of one wire only."""

    intervals: list[Interval | None]
    bounded: Array
    univariate: Array
    descents: dict[int, int] = field(default_factory=dict)
    """`descents[u] = v` where a row says that `u - v` is 0 or 1."""

    def set(self, wire: int, low: int, high: int) -> bool:
        """Record an interval, unless one is known or it is too wide; says whether it did."""
        if self.bounded[wire] or not -WIDEST < low <= high < WIDEST:
            return False
        self.intervals[wire] = (low, high)
        self.bounded[wire] = True
        return True

    def meet(self, found: Iterable[tuple[int, Interval]]) -> list[int]:
        """Record, for each wire that was unbounded, the intersection of its intervals; return these wires."""
        best: dict[int, Interval] = {}
        for wire, (low, high) in found:
            old = best.get(wire, (low, high))
            best[wire] = max(low, old[0]), min(high, old[1])
        return [wire for wire, (low, high) in best.items() if self.set(wire, low, high)]

    def of(self, form: Mapping[int, int]) -> Interval | None:
        """Return the interval of a combination, or None."""
        low = high = 0
        for wire, coefficient in form.items():
            interval = self.intervals[wire]
            if interval is None:
                return None
            first, second = coefficient * interval[0], coefficient * interval[1]
            low += min(first, second)
            high += max(first, second)
        return low, high

    def constants(self) -> list[int]:
        """Return the wires with one value only."""
        return [wire for wire, each in enumerate(self.intervals) if each is not None and each[0] == each[1]]

    def reach(self, wire: int) -> int:
        """Return the greatest difference of two values of a bounded wire."""
        interval = self.intervals[wire]
        assert interval is not None
        return interval[1] - interval[0]


def seed(rows: Rows) -> Ranges:
    """Return what rows about one wire, or about the difference of two, say at once."""
    found = Ranges([None] * rows.wires, np.zeros(rows.wires, dtype=bool), np.zeros(rows.count, dtype=bool))
    found.set(ONE, 1, 1)
    plain = _booleans(rows)
    found.univariate[plain[0]] = True
    for wire in plain[1].tolist():
        found.set(wire, 0, 1)
    others = np.flatnonzero(~rows.linear & ~found.univariate)
    for row in others.tolist():
        wires = [wire for wire in rows.wires_of(row).tolist() if wire != ONE]
        if len(wires) <= 2:
            _read(rows, found, row, wires)
    return found


def propagate(rows: Rows, ranges: Ranges, found: Iterable[tuple[int, Interval]] = ()) -> None:
    """Close the intervals under rows in which one wire is still unbounded and has the coefficient 1 or -1.

    In waves, so that of all rows that bound a wire first, the intersection counts; what else was `found` is met with
    the first wave.
    """
    unknown = np.add.reduceat(np.append(~ranges.bounded[rows.row_wires], False).astype(np.int64), rows.row_ptr[:-1])
    unknown[np.diff(rows.row_ptr) == 0] = 0
    ready: Array = np.flatnonzero((unknown == 1) & ~ranges.univariate)
    also = list(found)
    while len(ready) or also:
        derived = [each for row in ready.tolist() if (each := _derive(rows, ranges, row)) is not None]
        ids = np.array(ranges.meet((*derived, *also)), dtype=np.int64)
        also = []
        entries, _ = spans(rows.wire_ptr, ids)
        touched = rows.wire_rows[entries]
        np.subtract.at(unknown, touched, 1)
        touched = distinct(touched)
        ready = touched[(unknown[touched] == 1) & ~ranges.univariate[touched]]


def product(left: Interval, right: Interval, *, same: bool = False) -> Interval:
    """Return the interval of a product; of a square where `same`."""
    corners = [x * y for x in left for y in right]
    if same:
        low = 0 if left[0] <= 0 <= left[1] else min(left[0] ** 2, left[1] ** 2)
        return low, max(left[0] ** 2, left[1] ** 2)
    return min(corners), max(corners)


def _booleans(rows: Rows) -> tuple[Array, Array]:
    """Return rows `w * (w - 1) = 0` in the form that builders write, all at once, and their wires."""
    counts = [np.diff(matrix.indptr) for matrix in (rows.a, rows.b, rows.c)]
    shape = ~rows.linear & (counts[0] == 1) & (counts[1] == 2) & (counts[2] == 0)
    found = np.flatnonzero(shape)
    wires = rows.a.indices[rows.a.indptr[found]]
    start = rows.b.indptr[found]
    same = (rows.b.indices[start] == ONE) & (rows.b.indices[start + 1] == wires)
    same &= rows.b.values[start] + rows.b.values[start + 1] == 0
    return found[same], wires[same]


def _read(rows: Rows, ranges: Ranges, row: int, wires: list[int]) -> None:
    (a, b), c = rows.factors(row), rows.rest(row)
    if len(wires) == 1:
        ranges.univariate[row] = True
        try:
            values = roots(a, b, c, wires[0])
        except ZeroDivisionError:
            return
        if values is not None:
            ranges.set(wires[0], min(values), max(values))
    elif not c:
        _difference(ranges, a, b)


def _difference(ranges: Ranges, a: Form, b: Form) -> None:
    """Read `(u - v) * (u - v - 1) = 0`, in any multiple."""
    names = sorted(set(a) - {ONE})
    if names != sorted(set(b) - {ONE}) or len(names) != 2:
        return
    u, v = names
    values = []
    for factor in (a, b):
        inverse = pow(factor[u], -1, PRIME)
        if signed(factor[v] * inverse) != -1:
            return
        values.append(signed(-factor.get(ONE, 0) * inverse))
    if sorted(values) == [0, 1]:
        ranges.descents[u] = v
    elif sorted(values) == [-1, 0]:
        ranges.descents[v] = u


def _derive(rows: Rows, ranges: Ranges, row: int) -> tuple[int, Interval] | None:
    """Return the only unbounded wire of a row and its interval, or None."""
    rest = rows.rest(row)
    unbounded = [wire for wire in rest if not ranges.bounded[wire]]
    if len(unbounded) != 1 or rest[unbounded[0]] not in (1, -1):
        return None
    wire, sign = unbounded[0], rest.pop(unbounded[0])
    others = ranges.of(rest)
    total: Interval | None = (0, 0)
    if not rows.linear[row]:
        a, b = rows.factors(row)
        left, right = ranges.of(a), ranges.of(b)
        total = None if left is None or right is None else product(left, right, same=a == b)
    if others is None or total is None:
        return None
    ends = sign * (total[0] - others[1]), sign * (total[1] - others[0])
    return wire, (min(ends), max(ends))


def chains(ranges: Ranges) -> list[list[int]]:
    """Return the descending chains `c_1 >= c_2 >= .. >= c_m` of zeros and ones, and record that they are.

    The steps are 0 or 1 each, and add up to `c_1 - c_m` with both ends boolean: at most one step is 1.
    """
    found = []
    above = Counter(ranges.descents.values())
    for start in sorted(set(ranges.descents) - set(above)):
        chain = list(_walk(start, ranges.descents, above))
        ends = (ranges.intervals[chain[0]], ranges.intervals[chain[-1]])
        if ends == ((0, 1), (0, 1)):
            for wire in chain:
                ranges.set(wire, 0, 1)
            found.append(chain)
    return found


def _walk(start: int, descents: Mapping[int, int], above: Mapping[int, int]) -> Iterator[int]:
    """Yield a chain from its top down to where it ends or meets another one."""
    wire: int | None = start
    while wire is not None and above.get(wire, 0) <= 1:
        yield wire
        wire = descents.get(wire)
