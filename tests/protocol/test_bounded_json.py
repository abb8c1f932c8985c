# SPDX-License-Identifier: GPL-3.0-or-later
"""Deep nesting is refused, whatever hides it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import bounded_json

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 65 + "]" * 65,
        "[" * 1_000_000,
        '{"a":' * 200_000,
        '["]",' * 200_000,
        '["\\"]",' * 200_000,
        '[{"}]}]":' * 100_000,
    ],
)
def test_deep_nesting_is_refused_and_does_not_crash(text: str) -> None:
    with pytest.raises(ValueError):
        bounded_json.loads(text)


def test_sixty_four_levels_are_enough_for_everyone() -> None:
    assert bounded_json.loads("[" * 64 + "]" * 64) is not None


@given(JSON)
def test_what_is_not_deep_is_parsed_as_ever(value: object) -> None:
    assert bounded_json.loads(json.dumps(value)) == value
