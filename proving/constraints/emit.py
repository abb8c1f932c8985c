# SPDX-License-Identifier: GPL-3.0-or-later
"""A program as a circuit: a function of the program alone.

Soundness in one paragraph: every input is range-checked, so each value is a bounded integer (the intervals of
fixedpoint/bounds.py, below 2^240) and no combination wraps around the field; a decomposition of a bounded integer
into bits is unique; everything else is linear in wires, or one product. Each module of `gadgets` says why its
own rows have one solution; `determinism.py` checks it of the finished system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proving.constraints.builder import Block, Builder
from proving.constraints.nodes import emit_nodes
from proving.constraints.public_wires import PublicWires
from proving.constraints.system import ConstraintSystem
from proving.constraints.weight_words import packing_of
from proving.constraints.witness import WitnessPlan
from proving.fixedpoint.bounds import program_bounds
from proving.fixedpoint.program import Program
from proving.statement.emit import emit_statement, public_wires_of

STATEMENT = "statement"
"""The label of the rows that are no layer's."""


@dataclass(frozen=True, slots=True, eq=False)
class EmittedCircuit:
    """A constraint system, what its public wires are, how its witness is filled, and where its rows come from."""

    system: ConstraintSystem
    public: PublicWires
    plan: WitnessPlan
    blocks: tuple[Block, ...]
    free: tuple[int, ...]
    """The wires that are a choice of who proves (inputs or their bits, weights, blinding, binding)."""

    @property
    def costs(self) -> tuple[tuple[str, int], ...]:
        """Constraints by layer, in the order of the program; the statement's come last."""
        return costs_of(self.blocks)


def emit(program: Program) -> EmittedCircuit:
    """Return the circuit of a program: its nodes, then its statement."""
    bounds = program_bounds(program)
    public = public_wires_of(program)
    builder = Builder(public.count)
    folded = public.weights if len(public.weights) else None
    values = emit_nodes(builder, program, bounds, folded, packing_of(program))
    builder.label = STATEMENT
    emit_statement(builder, program, public, values)
    plan = WitnessPlan(builder.wires, tuple(builder.steps))
    return EmittedCircuit(builder.finish(), public, plan, tuple(builder.blocks), tuple(builder.free))


def costs_of(blocks: Sequence[Block]) -> tuple[tuple[str, int], ...]:
    """Return the number of rows of each label, in order of first appearance."""
    totals: dict[str, int] = {}
    for each in blocks:
        totals[each.label] = totals.get(each.label, 0) + each.count
    return tuple(totals.items())
