# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions as straight lines: what is stated holds on dense samples, and is about half a unit."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from proving_graph_eval import FUNCTIONS
from proving_graphs import fixed_and_real, graph_of, random_rows, settings

from proving.fixedpoint.program import Piecewise, Thermometer
from proving.fixedpoint.quantise import quantise
from proving.fixedpoint.real_functions import SMOOTH, context
from proving.fixedpoint.segments import MOST_SEGMENTS, Table, table
from proving.importer.graph import Apply, Function, Input
from proving.settings import InputRange

STEEP = (Function.LOG, Function.SQRT)


def _table(function: Function, precision: int, reach: int) -> tuple[Table, int, int, int]:
    scale = 2 * precision if function in STEEP else precision
    low, high = (0 if function in STEEP else -reach) << scale, reach << scale
    return table(function, low, high, scale, precision), low, high, scale


def _at(lines: Table, places: Any) -> Any:
    segment = np.searchsorted(lines.breaks, places, side="left")
    return (np.array(lines.slopes)[segment] * places + np.array(lines.intercepts)[segment]) / 2.0**lines.result_scale


@pytest.mark.parametrize("function", SMOOTH)
@pytest.mark.parametrize(("precision", "reach"), [(6, 3), (8, 20), (12, 7)])
def test_the_stated_error_holds_on_a_dense_sample(function: Function, precision: int, reach: int) -> None:
    lines, low, high, scale = _table(function, precision, reach)
    edges = np.array([low, *lines.breaks, *(each + 1 for each in lines.breaks), high])
    places = np.unique(np.concatenate([np.arange(low, high + 1, max(1, (high - low) // 50_000)), edges]))
    places = places[places >= 1] if function in STEEP else places
    places = places[places <= 16 << scale] if function is Function.EXP else places
    real = FUNCTIONS[function](places / 2.0**scale)
    relative = np.abs(_at(lines, places) - real) / np.maximum(1, np.abs(real))
    assert relative.max() <= lines.error * (1 + 1e-9)
    assert lines.error <= 2.0 ** -(precision + 1) or len(lines.slopes) > MOST_SEGMENTS // 2
    assert relative.max() >= lines.error / 2, "the claim is far from what is seen"


@pytest.mark.parametrize("function", SMOOTH)
def test_values_and_derivatives_agree_with_libm_and_with_each_other(function: Function) -> None:
    smooth = SMOOTH[function]
    with localcontext(context()):
        for place in ("0.001", "0.3", "1", "2.75", "5.5", "-0.4", "-3.25"):
            x, step = Decimal(place), Decimal("1e-12")
            if smooth.positive and x <= 0:
                continue
            assert math.isclose(float(smooth.value(x)), float(FUNCTIONS[function](float(x))), rel_tol=1e-12)
            slope = (smooth.value(x + step) - smooth.value(x - step)) / (2 * step)
            assert abs(slope - smooth.derivative(x)) < Decimal("1e-9") * max(Decimal(1), abs(slope))


def test_half_a_unit_takes_few_segments() -> None:
    assert [len(_table(each, 8, 8)[0].slopes) for each in (Function.SIGMOID, Function.TANH, Function.SOFTPLUS)] <= [
        20, 27, 22,
    ]


@pytest.mark.parametrize("function", [each for each in SMOOTH if each is not Function.EXP])
def test_a_model_is_off_by_the_stated_error_and_the_rounding_of_its_argument(function: Function) -> None:
    chosen = settings(InputRange("x", 0 if function in STEEP else -2000, 12, 4, scale=8), fractional_bits=8)
    graph = graph_of([Input(4), Apply(0, function)])
    program, fixed, real = fixed_and_real(graph, chosen, random_rows(chosen, 300)[1:])
    (stated,) = program.approximations
    assert stated.function == function.value
    assert (np.abs(fixed - real) / np.maximum(1, np.abs(real))).max() <= stated.error * (1 + 1e-9)


def test_exp_of_what_could_be_large_is_cut_off_and_not_wrong_below() -> None:
    chosen = settings(InputRange("x", -100, 8, 1))
    graph = graph_of([Input(1), Apply(0, Function.EXP)])
    rows = np.arange(-100, 17)[:, None]
    program, fixed, real = fixed_and_real(graph, chosen, rows)
    assert (np.abs(fixed - real) / np.maximum(1, real)).max() <= program.approximations[0].error
    top = fixed_and_real(graph, chosen, np.array([[17], [155]]))[1]
    assert top[0] == top[1] == pytest.approx(math.exp(16), rel=0.01)


def test_an_element_has_only_the_segments_that_its_own_range_reaches() -> None:
    chosen = settings(InputRange("a", 0, 4, scale=8), InputRange("b", -2048, 12, scale=8))
    program = quantise(graph_of([Input(2), Apply(0, Function.TANH)]), chosen)
    thermometer = next(each for each in program.nodes if isinstance(each, Thermometer))
    short, long = thermometer.thresholds
    assert short == (0,) and len(long) > 15
    lines = next(each for each in program.nodes if isinstance(each, Piecewise))
    assert len(lines.slopes) == len(short) + len(long) + 2


def test_the_same_lines_again() -> None:
    first = _table(Function.ERF, 9, 5)[0]
    table.cache_clear()
    assert _table(Function.ERF, 9, 5)[0] == first
