# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of determinism that look at two or three rows at once: thermometers, divisions, tests for zero.

Each takes the rows, the intervals and the wires known to be determined, and yields wires that are determined too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import gcd

from proving.constraints.determinism_ranges import Interval, Ranges
from proving.constraints.determinism_rows import PRIME, Form, Rows, signed
from proving.constraints.system import ONE
from proving.sparse import Array

SHORTEST = 64
"""So many linear rows of a wire are looked at, the shortest first: the gadgets here have two, and a value that is used
again has one more for each use (a norm's deviation, for each element)."""


def unique_sum(coefficients: Sequence[int], reaches: Sequence[int]) -> bool:
    """Say whether `sum c_i w_i = s (mod p)` has one solution at most, where two values of w_i differ by at most r_i.

    Two solutions differ by d_i with `sum c_i d_i = 0 (mod p)`. Below the field's order that holds in integers, and
    then the greatest coefficient with d_i != 0 would have to be outweighed by all smaller ones together.
    """
    total = 0
    for coefficient, reach in sorted((abs(c), r) for c, r in zip(coefficients, reaches, strict=True)):
        if coefficient <= total:
            return False
        total += coefficient * reach
    return total < PRIME


def nonzero_factor(rows: Rows, ranges: Ranges, determined: Array, row: int) -> Iterator[int]:
    """`w * f = ..` with one unknown w in one factor, and `f` (less w's coefficient in c) never 0."""
    unknown = [wire for wire in rows.wires_of(row).tolist() if not determined[wire]]
    a, b = rows.factors(row)
    if len(unknown) != 1 or (unknown[0] in a) == (unknown[0] in b):
        return
    wire = unknown[0]
    scale, other = (a[wire], b) if wire in a else (b[wire], a)
    interval = ranges.of(_sum(other, {ONE: -rows.rest(row).get(wire, 0)}, scale, 1))
    if interval is not None and (interval[0] > 0 or interval[1] < 0) and max(map(abs, interval)) < PRIME:
        yield wire


def zero_test(rows: Rows, determined: Array, row: int) -> Iterator[int]:
    """`d * u = 1 - z` and `d * z = 0`: z is 1 where d is 0, else 0. The inverse u stays free where d is 0."""
    rest = rows.rest(row)
    unknown = [wire for wire in rest if not determined[wire]]
    if len(unknown) != 1 or set(rest) != {ONE, unknown[0]} or rest[ONE] + rest[unknown[0]] != 0:
        return
    wire = unknown[0]
    for d in rows.factors(row):
        if not d or not all(determined[each] for each in d):
            continue
        for other in rows.rows_of(wire):
            if rows.linear[other] or rows.rest(other):
                continue
            left, right = rows.factors(other)
            if (_multiple(left, d) and set(right) == {wire}) or (_multiple(right, d) and set(left) == {wire}):
                yield wire
                return


def division(rows: Rows, ranges: Ranges, determined: Array, row: int) -> Iterator[int]:
    """`q * R = D - r` with `0 <= r` and a row that says `r + low <= R - 1`: quotient and remainder are unique.

    With R = E + r for a bounded E >= 1 - min(r), two remainders differ by less than R, and R times the difference
    of the quotients would have to be that; nothing wraps if `reach(q) * R + reach(r)` is below the field's order.
    """
    a, b = rows.factors(row)
    for q_side, divisor in ((a, b), (b, a)):
        quotient = {wire: c for wire, c in q_side.items() if not determined[wire]}
        remainder = {wire: c for wire, c in rows.rest(row).items() if not determined[wire]}
        if not quotient or set(quotient) & set(remainder) or not all(determined[wire] for wire in divisor):
            continue
        if not all(ranges.bounded[wire] for wire in (*quotient, *remainder)):
            continue
        sides = _short_rows(rows, next(iter(remainder)), row) if remainder else []
        limits = _divisor_range(rows, ranges, divisor, remainder, sides)
        reach = {wire: ranges.reach(wire) for wire in (*quotient, *remainder)}
        span_q = sum(abs(c) * reach[wire] for wire, c in quotient.items())
        span_r = sum(abs(c) * reach[wire] for wire, c in remainder.items())
        if limits is None or span_q * limits[1] + span_r >= PRIME:
            continue
        for group in (quotient, remainder):
            if unique_sum(list(group.values()), [reach[wire] for wire in group]):
                yield from group


def constant_division(rows: Rows, ranges: Ranges, determined: Array, row: int) -> Iterator[int]:
    """`sum c_i q_i = D - r` where g divides every c_i and a row says that r stays below g, as in `division`."""
    unknown = {wire: c for wire, c in rows.rest(row).items() if not determined[wire]}
    reach = {wire: ranges.reach(wire) for wire in unknown}
    if sum(abs(c) * reach[wire] for wire, c in unknown.items()) >= PRIME:
        return
    for side in _short_rows(rows, min(unknown, key=lambda wire: abs(unknown[wire])), row):
        inside = set(rows.wires_of(side).tolist())
        remainder = {wire: c for wire, c in unknown.items() if wire in inside}
        quotient = {wire: c for wire, c in unknown.items() if wire not in inside}
        divisor = gcd(*quotient.values())
        limits = _divisor_range(rows, ranges, {ONE: divisor}, remainder, [side]) if divisor > 1 else None
        if limits is not None and limits[0] <= divisor <= limits[1]:
            for group in (quotient, remainder):
                if unique_sum(list(group.values()), [reach[wire] for wire in group]):
                    yield from group
            return


def _divisor_range(
    rows: Rows, ranges: Ranges, divisor: Form, remainder: Form, sides: Sequence[int]
) -> Interval | None:
    """Return the range of the divisor if one of some linear rows shows it to exceed any difference of remainders."""
    plain, low = ranges.of(divisor), ranges.of(remainder)
    if plain is not None and low is not None and 0 <= low[1] - low[0] < plain[0]:
        return plain
    for sign in (1, -1):
        positive = {wire: sign * c for wire, c in remainder.items()}
        r = ranges.of(positive)
        assert r is not None
        for row in sides:
            for direction in (1, -1):
                # E = R - r, seen through a row that is zero.
                e = ranges.of(_sum(_sum(divisor, positive, 1, -1), rows.rest(row), 1, direction))
                if e is not None and e[0] + r[0] >= 1 and e[1] + r[1] - e[0] - r[0] < PRIME:
                    return e[0] + r[0], e[1] + r[1]
    return None


def buckets(rows: Rows, ranges: Ranges, determined: Array, anchored: Array, chain: Sequence[int]) -> Iterator[int]:
    """A descending chain of zeros and ones whose every state leaves the determined value another range.

    State k has k ones. Each linear row `D + G(chain) + U = 0` (D determined, U bounded) confines D to an interval
    per state; rows with the same D are put together. If the intervals are disjoint, D says which state it is.
    `anchored` says which rows are of that form.
    """
    unknown = [wire for wire in chain if not determined[wire]]
    if unknown and any(_disjoint(states) for states in _states(rows, ranges, determined, anchored, chain).values()):
        yield from unknown


def bucket_ranges(
    rows: Rows, ranges: Ranges, hanging: Array, chain: Sequence[int]
) -> Iterator[tuple[int, Interval]]:
    """Yield the one unbounded wire of a chain's rows with its least and greatest value over all states.

    `hanging` says which linear rows have one unbounded wire.
    """
    for key, states in _states(rows, ranges, ~ranges.bounded, hanging, chain).items():
        possible = [state for state in states if state[0] <= state[1]]
        if len(key) == 1 and key[0][1] == 1 and possible:
            yield key[0][0], (min(low for low, _ in possible), max(high for _, high in possible))


def _states(
    rows: Rows, ranges: Ranges, fixed: Array, chosen: Array, chain: Sequence[int]
) -> dict[tuple[tuple[int, int], ...], list[Interval]]:
    """Return for each combination of fixed wires in a chain's chosen rows: its range in each state of the chain."""
    last = set(rows.rows_of(chain[-1]))
    found: dict[tuple[tuple[int, int], ...], list[Interval]] = {}
    for row in _short_rows(rows, chain[0]):
        if not chosen[row] or row not in last:
            continue
        read = _confined(rows.rest(row), ranges, fixed, chain)
        if read is None:
            continue
        key, states = read
        old = found.get(key)
        if old is not None:
            states = [(max(x[0], y[0]), min(x[1], y[1])) for x, y in zip(old, states, strict=True)]
        found[key] = states
    return found


def _confined(
    form: Form, ranges: Ranges, fixed: Array, chain: Sequence[int]
) -> tuple[tuple[tuple[int, int], ...], list[Interval]] | None:
    """Return a linear row's fixed part (without the constant; first coefficient positive), and its range per state."""
    places = {ONE, *chain}
    known = {w: c for w, c in form.items() if w not in places and fixed[w]}
    loose = ranges.of({w: c for w, c in form.items() if w not in places and not fixed[w]})
    if not known or loose is None:
        return None
    sign = 1 if next(iter(known.values())) > 0 else -1
    totals = [form.get(ONE, 0)]
    for wire in chain:
        totals.append(totals[-1] + form.get(wire, 0))
    ends = [(-sign * (total + loose[0]), -sign * (total + loose[1])) for total in totals]
    states = [(min(pair), max(pair)) for pair in ends]
    if any(max(map(abs, state)) >= PRIME >> 2 for state in states):
        return None
    return tuple((wire, sign * c) for wire, c in known.items()), states


def _short_rows(rows: Rows, wire: int, but: int = -1) -> list[int]:
    linear = [(len(rows.wires_of(row)), row) for row in rows.rows_of(wire) if rows.linear[row] and row != but]
    return [row for _, row in sorted(linear)[:SHORTEST]]


def _disjoint(states: Sequence[Interval]) -> bool:
    possible = sorted(state for state in states if state[0] <= state[1])
    return all(lower[1] < upper[0] for lower, upper in pairwise(possible))


def _sum(left: Mapping[int, int], right: Mapping[int, int], x: int, y: int) -> Form:
    total = {wire: x * c for wire, c in left.items()}
    for wire, c in right.items():
        total[wire] = total.get(wire, 0) + y * c
    return {wire: c for wire, residue in total.items() if (c := signed(residue))}


def _multiple(form: Form, of: Form) -> bool:
    if set(form) != set(of):
        return False
    wire = next(iter(of))
    ratio = form[wire] * pow(of[wire], -1, PRIME) % PRIME
    return all((form[w] - ratio * of[w]) % PRIME == 0 for w in of)
