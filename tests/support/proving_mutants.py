# SPDX-License-Identifier: GPL-3.0-or-later
"""Circuits with one thing wrong, and who notices: the honest witness, the determinism analysis, or a perturbation."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from proving_soundness import Case, Row, holds, rows_of, survivors, with_row

from proving.constraints.builder import Block
from proving.constraints.system import ConstraintSystem

EMPTY: Row = ({}, {}, {})

Refuses = Callable[[ConstraintSystem], bool]
"""Says whether the determinism analysis refuses a system."""


@dataclass(frozen=True)
class Mutant:
    """A row `row` of kind `kind` became `changed`; the rest of the circuit is as it was."""

    kind: str
    change: str
    row: int
    changed: Row


def some_of_each_kind(blocks: Sequence[Block], count: int, generator: random.Random) -> list[Block]:
    """Return at most `count` blocks of each kind."""
    by_kind: dict[str, list[Block]] = {}
    for block in blocks:
        by_kind.setdefault(block.kind, []).append(block)
    return [one for found in by_kind.values() for one in generator.sample(found, min(count, len(found)))]


def dropped_rows(rows: Sequence[Row], blocks: Sequence[Block], each: int, generator: random.Random) -> Iterator[Mutant]:
    """Yield for each block a few mutants that lack one of its rows: the first, the last, some others."""
    for block in blocks:
        places = {0, block.count - 1, *(generator.randrange(block.count) for _ in range(each))}
        for place in sorted(places)[: max(2, each)]:
            yield Mutant(block.kind, "row dropped", block.first + place, EMPTY)


def changed_rows(rows: Sequence[Row], blocks: Sequence[Block], each: int, generator: random.Random) -> Iterator[Mutant]:
    """Yield for each block mutants with one coefficient of a row dropped, raised by one, or doubled."""
    for block in blocks:
        for _ in range(each):
            row = block.first + generator.randrange(block.count)
            sides = [dict(side) for side in rows[row]]
            # A multiple of a factor of `a * b = 0` has the same roots: no mutant.
            side = generator.choice([one for one in sides if len(one) > 1 or (one and sides[2])])
            wire = generator.choice(sorted(side))
            change = generator.choice(["coefficient dropped", "coefficient + 1", "coefficient doubled"])
            if change == "coefficient dropped":
                del side[wire]
            else:
                side[wire] += 1 if change == "coefficient + 1" else side[wire]
            yield Mutant(block.kind, change, row, (sides[0], sides[1], sides[2]))


def caught_by(mutant: Mutant, cases: Sequence[Case], refuses: Refuses, generator: random.Random) -> str | None:
    """Return who notices a mutant first, or None if nobody does."""
    if not all(holds(mutant.changed, case.witness) for case in cases):
        return "witness"
    system = with_row(cases[0].system, mutant.row, mutant.changed)
    if refuses(system):
        return "determinism"
    original = rows_of(cases[0].system).rows[mutant.row]
    held = set().union(*original) - {0, *cases[0].known}
    return "perturbation" if survivors(replace(cases[0], system=system), held, generator) else None
