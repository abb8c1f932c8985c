# SPDX-License-Identifier: GPL-3.0-or-later
"""Real models go all the way, to an order that the contracts pay for; and the page of figures names each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from anvil import anvil

from examples.models.measure import entries, measure, reached
from examples.models.onchain import Settler, open_market
from examples.models.report import PAGE


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


def test_the_page_names_every_model() -> None:
    text = PAGE.read_text()
    missing = [each.name for each in entries() if f"| {each.name} |" not in text]
    assert not missing
