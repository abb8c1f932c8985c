# SPDX-License-Identifier: GPL-3.0-or-later
"""`auto` takes the cheapest backend that serves the purpose, and says why."""

from __future__ import annotations

import pytest
from proving_backends import PretendBackend, source

from protocol.errors import NoBackendError
from proving.backends.auto import choose, duration


def test_the_cheaper_of_two_that_can_is_chosen_and_both_costs_are_said() -> None:
    slow, fast = PretendBackend("slow", 5200.0), PretendBackend("fast", 84.0)
    choice = choose(source(), (slow, fast))
    assert choice.name == "fast"
    assert "84 ms" in choice.why and "5.2 s" in choice.why
    assert [each.name for each in choice.candidates] == ["fast", "slow"]


def test_what_cannot_prove_the_model_is_passed_over_with_its_reason() -> None:
    cheap = PretendBackend("cheap", 1.0, reasons=("Node tanh_3 (Tanh) is not supported.",))
    choice = choose(source(), (cheap, PretendBackend("dear", 900.0)))
    assert choice.name == "dear"
    assert "tanh_3" in choice.why


def test_a_backend_whose_proofs_cannot_settle_is_out_for_the_market_and_not_even_asked() -> None:
    local = PretendBackend("local", 1.0, market=False)
    able = PretendBackend("able", 50.0)
    assert choose(source(), (local, able)).name == "able"
    assert local.appraised == 0
    assert choose(source(), (local, able), market=False).name == "local"


def test_when_none_can_the_error_names_every_reason() -> None:
    first = PretendBackend("first", reasons=("Operator A.",))
    second = PretendBackend("second", reasons=("Operator B.",))
    with pytest.raises(NoBackendError, match=r"Operator A.*Operator B"):
        choose(source(), (first, second))
    with pytest.raises(NoBackendError):
        choose(source(), ())


def test_equal_costs_are_settled_by_name_so_that_every_machine_chooses_alike() -> None:
    ours = (PretendBackend("b"), PretendBackend("a"))
    assert choose(source(), ours).name == choose(source(), ours[::-1]).name == "a"


@pytest.mark.parametrize(("milliseconds", "text"), [(84.4, "84 ms"), (1900, "1.9 s"), (720_000, "12 min")])
def test_durations_are_for_people(milliseconds: float, text: str) -> None:
    assert duration(milliseconds) == text
