# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts and durations as people write them; nothing that was mistyped is taken."""

from __future__ import annotations

import pytest

from node.cli.arguments import MAX_SECONDS, seconds, wei
from protocol.errors import UsageError
from protocol.scalars import MAX_AMOUNT


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("90s", 90), ("5m", 300), ("366d", MAX_SECONDS)])
def test_durations(text: str, value: int) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "1e3", "1.5s", "367d", "999999999d", "\N{ARABIC-INDIC DIGIT THREE}s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(UsageError):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1000", 1000), ("5 gwei", 5 * 10**9), ("0.01eth", 10**16), ("1_000", 1000), (str(MAX_AMOUNT), MAX_AMOUNT)],
)
def test_amounts(text: str, value: int) -> None:
    assert wei(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "-1", "1e400", "0x10", "NaN", "1.5wei", "_", "_1", "1__0", "1.", "\N{FULLWIDTH DIGIT ONE}eth", "9" * 90]
    + [str(MAX_AMOUNT + 1)],
)
def test_no_amounts(text: str) -> None:
    with pytest.raises(UsageError):
        wei(text)
