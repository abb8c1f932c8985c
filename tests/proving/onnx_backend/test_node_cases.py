# SPDX-License-Identifier: GPL-3.0-or-later
"""The ONNX project's node tests through importer, fixed point and circuit; what is skipped is listed with reasons."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from proving_onnx_cases import LISTED, Case, imported, interpreted, selected

from protocol.errors import ProofmeshError

pytestmark = pytest.mark.slow

SKIPPED = Path(__file__).with_name("skipped.toml")
LARGEST_SHARE = 0.15
FEWEST_CASES = 850
WITHOUT_TESTS = {"Mish", "ai.onnx.ml.LabelEncoder", "ai.onnx.ml.TreeEnsemble"}
"""Listed operators all of whose tests are skipped; tests/proving/importer has some of its own."""
FEWEST_CIRCUITS = 94


def skipped() -> dict[str, str]:
    """The reason for each skipped test, by name."""
    groups = tomllib.loads(SKIPPED.read_text())["skipped"]
    return {name: group["reason"] for group in groups for name in group["tests"]}


def _size(case: Case) -> int:
    return sum(np.asarray(each).size for each in case.inputs.values())


@pytest.fixture(scope="module")
def cases() -> Iterator[tuple[Case, ...]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy, where a test divides by zero on purpose
        yield selected()


def failure(case: Case, circuit: bool = False) -> str | None:
    """Why a test does not pass, or None."""
    try:
        interpreted(case, imported(case), circuit)
    except (AssertionError, ProofmeshError) as error:
        return f"{type(error).__name__}: {error!s:.300}"
    return None


def test_every_selected_test_passes_or_is_listed_with_its_reason(cases: tuple[Case, ...]) -> None:
    failures = {case.name: why for case in cases if (why := failure(case)) is not None}
    listed = skipped()
    unlisted = {name: why for name, why in failures.items() if name not in listed}
    assert not unlisted
    assert set(listed) - set(failures) == set(), "these pass, or are not selected: take them off the list"


def test_the_list_is_short_and_gives_reasons(cases: tuple[Case, ...]) -> None:
    assert len(cases) >= FEWEST_CASES
    assert len(skipped()) <= LARGEST_SHARE * len(cases)
    assert all(len(reason) > 10 for reason in skipped().values())


def test_the_smallest_test_of_every_operator_holds_as_a_circuit(cases: tuple[Case, ...]) -> None:
    smallest: dict[str, Case] = {}
    for case in sorted(cases, key=_size):
        if len(case.operators) == 1 and case.name not in skipped():
            smallest.setdefault(case.operators[0], case)
    assert set(smallest) >= LISTED - WITHOUT_TESTS
    constraints = {name: interpreted(case, imported(case), circuit=True) for name, case in smallest.items()}
    assert sum(count > 0 for count in constraints.values()) >= FEWEST_CIRCUITS
