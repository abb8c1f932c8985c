# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts and durations as people write them; nothing that was mistyped is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.cli.arguments import MAX_SECONDS, address_bytes, seconds, wei
from node.config import load_settings
from protocol.errors import SettingsError, UsageError
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
    ["", "-1", "1e400", "0x10", "NaN", "1.5wei", "_", "_1", "1__0", "1.", "\N{FULLWIDTH DIGIT ONE}eth", "9" * 39],
)
def test_no_amounts(text: str) -> None:
    with pytest.raises(UsageError):
        wei(text)


SPELT = "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # an example of EIP-55


@pytest.mark.parametrize("text", [SPELT, "0x" + SPELT, "0x" + SPELT.lower(), "0x" + SPELT.upper()])
def test_addresses(text: str) -> None:
    assert address_bytes(text).hex() == SPELT.lower()


@pytest.mark.parametrize("text", ["", "0x12", "0X" + SPELT, "0x" + SPELT + "\n", "0x" + SPELT.replace("5aA", "5AA")])
def test_no_addresses(text: str) -> None:
    with pytest.raises(UsageError):
        address_bytes(text)


def test_a_mistyped_address_in_the_settings_is_refused(tmp_path: Path) -> None:
    payout = SPELT.replace("ed", "cd")
    with pytest.raises(SettingsError, match="checksum"):
        load_settings(tmp_path, {"prover.payout": f"0x{payout}"}, environ={})
    assert load_settings(tmp_path, {"prover.payout": f"0x{SPELT}"}, environ={}).prover.payout
