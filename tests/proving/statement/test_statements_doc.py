# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/STATEMENTS.md names every choice there is, and the words in their order."""

from __future__ import annotations

import re
from pathlib import Path

from proving_statements import classifier, compiled

from proving.settings import (
    InputRange,
    ModelSettings,
    OutputSpec,
    Predicate,
    Reveal,
    Visibility,
    WeightMode,
    WeightSpec,
)
from proving.statement.layout import MAX_BETWEEN

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "STATEMENTS.md").read_text("utf-8")


def rows(title: str) -> list[str]:
    """The first cells of the table in a section."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
    return cells[2:] if cells[1].startswith("-") else cells[1:]


def test_the_words_are_listed_in_their_order() -> None:
    fields = (
        InputRange("x", 0, 4, 2),
        InputRange("y", 0, 4, group=1),
        InputRange("p", 0, 4, visibility=Visibility.PUBLIC),
    )
    spec = OutputSpec(Reveal.PREDICATE, predicate=Predicate.THRESHOLD, threshold_public=True)
    settings = ModelSettings(fields, spec, WeightSpec(WeightMode.POSEIDON, 16), 8, 6)
    order = [each.split(" 1")[0] for each in compiled(classifier(2), settings).layout.order]
    assert [each for each in rows("The words") if not each.startswith("---")] == order


def test_every_choice_has_a_row() -> None:
    outputs = " ".join(rows("Outputs"))
    assert all(f"`{each}`" in outputs for each in (*Reveal, *Predicate))
    assert {f"`{each}`" for each in WeightMode} <= set(rows("Weights"))


def test_the_limits_are_those_of_the_code() -> None:
    assert f"at most {MAX_BETWEEN} words" in PAGE
