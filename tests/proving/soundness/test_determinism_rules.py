# SPDX-License-Identifier: GPL-3.0-or-later
"""Each rule of the determinism analysis on the smallest rows it is for, and on rows that only look so."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proving_soundness import SCALE, P, Row, Search, bits, boolean, linear, system_of

from protocol.errors import MalformedCircuitError
from proving.constraints.determinism import analyse, undetermined, with_definitions
from proving.constraints.system import ConstraintSystem
from proving.sparse import Sparse, exact

ONE = 0


def free(rows: list[Row], known: list[int], wires: int) -> set[int]:
    """The wires that the analysis does not show to be determined, and that are in fact not, if the search ends."""
    system = system_of(wires, 0, rows)
    return set(undetermined(system, known, range(wires)))


def test_a_linear_row_and_a_product_determine_their_last_wire() -> None:
    rows: list[Row] = [linear({1: 3, 2: -7, ONE: 5}), ({1: 1}, {2: 1}, {3: 11})]
    assert free(rows, [1], 4) == set()
    assert free(rows, [], 4) == {1, 2, 3}


def test_a_factor_does_not_determine_its_partner_unless_it_is_never_zero() -> None:
    product: Row = ({1: 1}, {2: 1}, {3: 1})
    assert free([product], [1, 3], 4) == {2}
    assert free([boolean(1), product], [1, 3], 4) == {2}
    above_zero: Row = ({1: 1, ONE: 1}, {2: 1}, {3: 1})
    assert free([boolean(1), above_zero], [1, 3], 4) == set()
    both_sides: Row = ({1: 1, ONE: 1}, {2: 1}, {2: 1, 3: 1})
    assert free([boolean(1), both_sides], [1, 3], 4) == {2}


def test_a_square_does_not_determine_its_root() -> None:
    assert free([({1: 1}, {1: 1}, {2: 1})], [2], 3) == {1}


@pytest.mark.parametrize("width", [1, 8, 253])
def test_bits_of_a_determined_sum_are_determined(width: int) -> None:
    wires = list(range(2, 2 + width))
    assert free(bits({1: 1}, wires), [1], width + 2) == set()


def test_bits_that_wrap_around_the_field_are_not() -> None:
    wires = list(range(2, 256))
    assert len(free(bits({1: 1}, wires), [1], 256)) == 254


@pytest.mark.parametrize("place", range(4))
def test_a_missing_boolean_row_frees_the_bits(place: int) -> None:
    rows = bits({1: 1}, [2, 3, 4, 5])
    del rows[place]
    assert free(rows, [1], 6) == {2, 3, 4, 5}


def test_coefficients_that_meet_free_the_bits() -> None:
    rows: list[Row] = [*map(boolean, (2, 3, 4)), linear({1: 1, 2: -1, 3: -2, 4: -3})]
    assert free(rows, [1], 5) == {2, 3, 4}
    rows = [*map(boolean, (2, 3, 4)), linear({1: 1, 2: -1, 3: -2, 4: 5})]
    assert free(rows, [1], 5) == set()


def test_booleans_are_recognised_in_every_way_of_writing_them() -> None:
    for row in (
        ({2: 1}, {2: 1}, {2: 1}),
        ({2: 3, ONE: -3}, {2: 7}, {}),
        ({ONE: 1, 2: -1}, {ONE: 5, 2: -5}, {ONE: 5, 2: -5}),
    ):
        rows: list[Row] = [row, boolean(3), linear({1: 1, 2: -1, 3: -2})]
        assert free(rows, [1], 4) == set(), row
    ternary: Row = ({2: 1}, {2: 1, ONE: -2}, {})
    assert free([ternary, boolean(3), linear({1: 1, 2: -1, 3: -2})], [1], 4) == {2, 3}
    assert free([ternary, boolean(3), linear({1: 1, 2: -1, 3: -3})], [1], 4) == set()


def test_a_linear_row_may_be_written_as_a_product_by_a_constant() -> None:
    assert free([({ONE: 2}, {1: 1, 2: 1}, {1: 3, ONE: 1})], [1], 3) == set()
    assert free([({1: 1}, {ONE: 4}, {1: 4, 2: 1})], [], 3) == {1}


def test_numbers_in_mixed_radix_are_determined_by_their_packing() -> None:
    rows = [*bits({1: 1}, [3, 4, 5]), *bits({2: 1}, [6, 7])]
    packed, names = with_definitions(system_of(8, 0, rows), [{1: 1, 2: 8}])
    assert undetermined(packed, names, range(8)) == ()
    overlapping, names = with_definitions(system_of(8, 0, rows), [{1: 1, 2: 7}])
    assert set(undetermined(overlapping, names, range(8))) == {1, 2, 3, 4, 5, 6, 7}


@pytest.mark.parametrize("place", [1, 32, 62, 63, 64, 200])
def test_definitions_keep_their_coefficients(place: int) -> None:
    forms = [{1: 1, 2: (1 << place) + 1}, {ONE: -1 << place}]
    system, names = with_definitions(system_of(3, 0, [linear({1: 1})]), forms)
    assert [system.c.row(row) for row in (1, 2)] == [{**forms[0], names[0]: -1}, {**forms[1], names[1]: -1}]
    assert all(isinstance(each, int) for each in system.c.values.tolist())


def thermometer(thresholds: tuple[int, ...], low: int, high: int, width: int, gap: int = 0) -> tuple[list[Row], int]:
    """Wire 1 is x, then come the c, then two range checks; buckets are `gap` further apart or overlap."""
    count = len(thresholds)
    c = list(range(2, 2 + count))
    above, below = (list(range(2 + count + k * width, 2 + count + (k + 1) * width)) for k in (0, 1))
    rows: list[Row] = [boolean(c[-1])]
    rows += [({u: 1, v: -1}, {u: 1, v: -1, ONE: -1}, {}) for u, v in pairwise(c)]
    if count > 1:
        rows.append(boolean(c[0]))
    lows, highs = [low, *(q + 1 + gap for q in thresholds)], [*thresholds, high]
    bottom = {ONE: lows[0], **{w: b - a for w, a, b in zip(c, lows, lows[1:], strict=False)}}
    top = {ONE: highs[0], **{w: b - a for w, a, b in zip(c, highs, highs[1:], strict=False)}}
    rows += bits({1: 1, **{w: -k for w, k in bottom.items()}}, above)
    rows += bits({1: -1, **top}, below)
    return rows, 2 + count + 2 * width


@pytest.mark.parametrize("thresholds", [(3,), (3, 9), (0, 1, 2, 30), tuple(range(0, 60, 4))])
def test_a_thermometer_is_determined_and_proves_the_range_of_its_source(thresholds: tuple[int, ...]) -> None:
    rows, wires = thermometer(thresholds, 0, 63, 6)
    assert free(rows, [1], wires) == set()
    packed, names = with_definitions(system_of(wires + 1, 0, [*rows, boolean(wires)]), [{1: 1, wires: 64}])
    assert undetermined(packed, names, [1, wires]) == ()
    packed, names = with_definitions(system_of(wires + 1, 0, [*rows, boolean(wires)]), [{1: 1, wires: 63}])
    assert undetermined(packed, names, [1, wires]) == (1, wires)


@pytest.mark.parametrize("thresholds", [(3,), (3, 9, 40)])
def test_a_thermometer_with_a_row_missing_or_buckets_that_meet_is_not(thresholds: tuple[int, ...]) -> None:
    rows, wires = thermometer(thresholds, 0, 63, 6)
    places = [*range(len(thresholds)), *range(len(rows) - 14, len(rows))]
    for place in places:
        dropped = [row for index, row in enumerate(rows) if index != place]
        assert free(dropped, [1], wires) >= set(range(2, 2 + len(thresholds))), place
    rows, wires = thermometer(thresholds, 0, 63, 6, gap=-1)
    assert free(rows, [1], wires) >= set(range(2, 2 + len(thresholds)))


def division(quotient_bits: int, remainder_bits: int) -> tuple[list[Row], int]:
    """Wires 1 and 2 are dividend and divisor, then bits of q, r and divisor - 1 - r."""
    q = list(range(3, 3 + quotient_bits))
    r = list(range(3 + quotient_bits, 3 + quotient_bits + remainder_bits))
    d = [wire + remainder_bits for wire in r]
    places = {wire: 1 << place for group in (q, r, d) for place, wire in enumerate(group)}
    rows: list[Row] = [boolean(wire) for wire in (*q, *r, *d)]
    rows.append(({w: places[w] for w in q}, {2: 1}, {1: 1, **{w: -places[w] for w in r}}))
    rows.append(linear({2: 1, ONE: -1, **{w: -places[w] for w in (*r, *d)}}))
    return rows, 3 + quotient_bits + 2 * remainder_bits


def test_quotient_and_remainder_are_determined() -> None:
    rows, wires = division(5, 3)
    assert free(rows, [1, 2], wires) == set()
    solutions = list(Search(system_of(wires, 0, rows)).solutions({1: 29, 2: 6}))
    assert len(solutions) == 1


def test_a_division_that_lacks_a_row_or_wraps_is_not() -> None:
    rows, wires = division(5, 3)
    for place in range(len(rows)):
        dropped = [row for index, row in enumerate(rows) if index != place]
        assert free(dropped, [1, 2], wires), place
    rows, wires = division(251, 3)
    assert free(rows, [1, 2], wires) == set(range(3, wires))


def test_a_test_for_zero_leaves_its_inverse_free_and_nothing_else() -> None:
    rows: list[Row] = [({1: 1, ONE: -7}, {2: 1}, {ONE: 1, 3: -1}), ({1: 1, ONE: -7}, {3: 1}, {})]
    assert free(rows, [1], 4) == {2}
    assert free(rows[:1], [1], 4) == {2, 3}
    other: Row = ({1: 1, ONE: -8}, {3: 1}, {})
    assert free([rows[0], other], [1], 4) == {2, 3}


def test_rows_that_are_not_canonical_are_refused() -> None:
    good = system_of(3, 0, [linear({1: 1, 2: 1})])
    for indices, values in (([2, 1], [1, 1]), ([1, 1], [1, 1]), ([1, 2], [1, 0]), ([1, 2], [1, P]), ([1, 3], [1, 1])):
        c = Sparse(3, good.c.indptr, exact(indices), exact(values))
        with pytest.raises(MalformedCircuitError):
            analyse(ConstraintSystem(3, 0, good.a, good.b, c), [])


WIRES = 7


@given(st.data(), st.integers(0, 2**32))
@settings(max_examples=150 * SCALE, deadline=None)
def test_what_is_called_determined_has_one_value(data: st.DataObject, seed: int) -> None:
    """Random rows that a random witness satisfies: no second witness, found by search, differs where it must not."""
    generator = random.Random(seed)
    values = [1, *(generator.choice([0, 1, 1, 2]) for _ in range(WIRES - 1))]
    rows: list[Row] = [boolean(w) for w in range(1, WIRES) if values[w] < 2 and generator.random() < 0.7]
    for _ in range(data.draw(st.integers(1, 5))):
        chosen = (generator.sample(range(WIRES), generator.randint(0, most)) for most in (2, 2, 4))
        a, b, c = ({wire: generator.choice([-4, -2, -1, 1, 1, 2, 3]) for wire in wires} for wires in chosen)
        if generator.random() < 0.5:
            a = {}
        left, right, have = (sum(k * values[w] for w, k in side.items()) for side in (a, b, c))
        c[ONE] = c.get(ONE, 0) + left * right - have
        rows.append((a, b, c))
    known = sorted(generator.sample(range(1, WIRES), 2))
    system = system_of(WIRES, 0, rows)
    determined = analyse(system, known).determined
    search = Search(system, budget=400)
    for solution in search.solutions({w: values[w] for w in known}):
        for wire in range(WIRES):
            if determined[wire]:
                assert solution.get(wire, values[wire]) == values[wire], (wire, rows, known)


def damaged(rows: list[Row], generator: random.Random) -> list[Row]:
    """Drop a row, or change one coefficient a little."""
    made = list(rows)
    place = generator.randrange(len(made))
    if generator.random() < 0.4:
        del made[place]
        return made
    sides = [dict(side) for side in made[place]]
    side = generator.choice([each for each in sides if each])
    wire = generator.choice(list(side))
    side[wire] += generator.choice([-2, -1, 1, 2])
    made[place] = (sides[0], sides[1], sides[2])
    return made


@given(st.sampled_from(["thermometer", "division", "constant division"]), st.integers(0, 2**32))
@settings(max_examples=80 * SCALE, deadline=None)
def test_a_damaged_gadget_that_passes_has_no_second_witness(kind: str, seed: int) -> None:
    generator = random.Random(seed)
    if kind == "thermometer":
        thresholds = tuple(sorted(generator.sample(range(7), generator.choice([1, 2, 3]))))
        rows, wires = thermometer(thresholds, 0, 7, generator.choice([2, 3]), generator.choice([0, 0, 0, -1, 1]))
        known, trials = [1], [{1: x} for x in range(-1, 9)]
    else:
        rows, wires = division(2, 2)
        known, trials = [1, 2], [{1: generator.randrange(12), 2: generator.randrange(5)} for _ in range(4)]
        if kind == "constant division":
            divisor = generator.randrange(1, 5)
            rows = [(_at(a, divisor), _at(b, divisor), _at(c, divisor)) for a, b, c in rows]
            trials = [{1: x, 2: divisor} for x in range(0, 12, 2)]
    for _ in range(generator.choice([0, 1, 1, 2])):
        rows = damaged(rows, generator)
    system = system_of(wires, 0, rows)
    determined = analyse(system, known).determined
    if determined.sum() <= len(known) + 1:
        return
    for values in trials:
        solutions = list(Search(system, budget=600).solutions(values))
        for wire in range(wires):
            assert not determined[wire] or len({s.get(wire) for s in solutions if wire in s}) <= 1, (wire, rows)


def _at(side: dict[int, int], divisor: int) -> dict[int, int]:
    """Put a constant in place of wire 2."""
    moved = {wire: c for wire, c in side.items() if wire != 2}
    if 2 in side:
        moved[ONE] = moved.get(ONE, 0) + divisor * side[2]
    return moved


def test_a_division_by_a_constant_is_determined() -> None:
    for divisor in (1, 3, 7, 8):
        rows, wires = division(4, (divisor - 1).bit_length())
        rows = [(_at(a, divisor), _at(b, divisor), _at(c, divisor)) for a, b, c in rows]
        assert free(rows, [1, 2], wires) == set(), divisor
    rows, wires = division(4, 3)
    rows = [(_at(a, 6), _at(b, 6), _at(c, 6)) for a, b, c in rows]
    for place in range(len(rows)):
        dropped = [row for index, row in enumerate(rows) if index != place]
        assert free(dropped, [1, 2], wires), place
