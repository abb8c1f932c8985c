# SPDX-License-Identifier: GPL-3.0-or-later
"""Real models go all the way, to an order that the contracts pay for; and the page of figures names each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anvil import anvil

from examples.models import local_ezkl
from examples.models.measure import agrees, entries, measure, reached
from examples.models.onchain import Settler, open_market
from examples.models.picture_pairs import pairs
from examples.models.report import PAGE
from proving.backends import ezkl
from proving.fixedpoint.float_model import Answers
from proving.importer.graph import Graph, Head, Input, Link


@pytest.fixture(scope="module")
def settler() -> Iterator[Settler]:
    with anvil() as url:
        yield open_market(url)


@pytest.mark.parametrize("name", ["credit-logistic", "cancer-forest"])
def test_a_model_is_proved_and_paid_for(name: str, settler: Settler, tmp_path: Path) -> None:
    entry = next(each for each in entries() if each.name == name)
    found = measure(entry, settler, tmp_path)
    assert reached(found) and (found["rows"] or 0) > 100
    accuracy, majority = found["circuit_accuracy"], found["majority"]
    assert accuracy is not None and majority is not None and accuracy > majority + 0.04
    assert 200_000 < (found["verify_gas"] or 0) < (found["settle_gas"] or 0)


def test_what_is_allowed_to_differ() -> None:
    assert reached({"rows": 10, "disagreements": 1}) and reached({"rows": 1000, "disagreements": 5})
    assert not reached({"rows": 10, "disagreements": 2}) and not reached({"rows": 1000, "disagreements": 6})


def test_a_proof_that_says_something_else_is_noticed() -> None:
    graph = Graph((Input(1),), Head(0, Link.NONE, ("no", "yes")), (), ("x",), ((1, 1),))
    expected = Answers(np.array([[0.25, 0.75]]), np.array([1]))
    right: tuple[dict[str, Any], ...] = (
        {"label": "yes"}, {"predicate": True}, {"values": {"no": 0.254, "yes": 0.746}},
    )  # fmt: skip
    wrong: tuple[dict[str, Any], ...] = (
        {"label": "no"}, {"predicate": False}, {"values": {"no": 0.3, "yes": 0.7}}, {"values": [0.75]},
    )  # fmt: skip
    assert all(agrees(said, expected, graph) for said in right)
    assert not any(agrees(said, expected, graph) for said in wrong)


def test_a_model_of_ezkl_is_skipped_with_a_reason_where_it_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(ezkl.PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(local_ezkl, "_BENCHMARK", tmp_path / "python")
    reasons = {each.name: each.skipped for each in entries() if each.skipped}
    assert set(reasons) == {"digits-ezkl"} and "make test-ezkl" in str(reasons["digits-ezkl"])


def test_pairs_are_a_picture_and_itself_or_another() -> None:
    images = np.repeat(np.array([20, 120, 220])[:, None], 25, axis=1)
    rows, labels = pairs(images, 3)
    assert rows.shape == (6, 50) and labels.tolist() == [1, 0] * 3
    # Brightness changes by up to a tenth, so one and the same by up to 44; others are at least 66 apart.
    differences = np.abs(rows[:, :25].mean(axis=1) - rows[:, 25:].mean(axis=1))
    assert np.array_equal(differences < 55, labels == 1)
    assert (differences > 0).all() and np.array_equal(rows, pairs(images, 3)[0])


def test_the_page_names_every_model() -> None:
    text = PAGE.read_text()
    missing = [each.name for each in entries() if f"| {each.name} |" not in text]
    assert not missing
