# SPDX-License-Identifier: GPL-3.0-or-later
"""A program's nodes as a circuit without a statement, and what its wires are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protocol.scalars import BN254_SCALAR_ORDER
from proving.constraints.builder import Block, Builder
from proving.constraints.forms import Form
from proving.constraints.nodes import emit_nodes
from proving.constraints.system import ConstraintSystem
from proving.constraints.weight_words import packing_of, words_of
from proving.constraints.witness import WitnessPlan
from proving.fixedpoint.batch import Evaluator
from proving.fixedpoint.program import Program
from proving.settings import WeightMode
from proving.sparse import Array, Sparse

BLINDING = BN254_SCALAR_ORDER - 5


@dataclass(frozen=True, eq=False)
class Nodes:
    """The circuit of a program's nodes; folded weights and their blinding are its public wires."""

    program: Program
    system: ConstraintSystem
    plan: WitnessPlan
    blocks: tuple[Block, ...]
    free: tuple[int, ...]
    values: list[Form]

    def witness(self, raw: Sequence[int]) -> Array:
        return self.plan.witness(Evaluator(self.program).trace(raw), {"weights": (*words_of(self.program), BLINDING)})

    def rows_of(self, ref: int) -> int:
        """Return how many rows a node has."""
        return sum(each.count for each in self.blocks if each.label == self.program.labels[ref])


def nodes_of(program: Program) -> Nodes:
    folded = program.weights.mode is WeightMode.FOLDED and program.parameter_values is not None
    public = len(words_of(program)) + 1 if folded else 0
    builder = Builder(public)
    wires = np.arange(1, public + 1) if folded else None
    values = emit_nodes(builder, program, None, wires, packing_of(program))
    plan = WitnessPlan(builder.wires, tuple(builder.steps))
    return Nodes(program, builder.finish(), plan, tuple(builder.blocks), tuple(builder.free), values)


def integers(witness: Array) -> list[int]:
    """Return the residue of each wire."""
    data = witness.tobytes()
    return [int.from_bytes(data[at : at + 32], "little") for at in range(0, len(data), 32)]


def evaluate(matrix: Sparse, wires: Sequence[int]) -> list[int]:
    """Return `matrix @ wires` modulo the field's order, in Python integers."""
    return [
        sum(int(c) * wires[w] for w, c in matrix.row(row).items()) % BN254_SCALAR_ORDER for row in range(matrix.rows)
    ]
