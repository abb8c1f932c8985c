# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs as cases for the adversary: their nodes as a circuit whose public wires are the scores, and a witness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from proving_soundness import Case

from proving.constraints import forms
from proving.constraints.builder import Block, Builder
from proving.constraints.forms import Form
from proving.constraints.nodes import emit_nodes
from proving.constraints.witness import Reading, Values, WitnessPlan
from proving.fixedpoint.interpreter import run
from proving.fixedpoint.program import Program
from proving.settings import WeightMode
from proving.sparse import exact

WEIGHT_BLINDING = 0x1234567


@dataclass(frozen=True)
class NodesCircuit:
    """The nodes of a program as a circuit; wires 1 to `scores` are the scores, then come folded weights, if any."""

    program: Program
    builder: Builder
    scores: int
    values: tuple[Form, ...]

    def case(self, raw_inputs: Sequence[int]) -> Case:
        """Return the circuit with the witness that the interpreter gives."""
        system = self.builder.finish()
        trace = [exact(each) for each in run(self.program, raw_inputs).values]
        parameters = self.program.parameter_values
        weights = [] if parameters is None else [*map(int, parameters), WEIGHT_BLINDING]
        filled = WitnessPlan(system.wires, tuple(self.builder.steps)).witness(trace, {"weights": weights})
        witness = tuple(int.from_bytes(wire.tobytes(), "little") for wire in filled)
        return Case(system, witness, tuple(self.builder.free), tuple(range(1, self.scores + 1)))

    def blocks(self) -> tuple[Block, ...]:
        return tuple(self.builder.blocks)


def circuit_of(program: Program) -> NodesCircuit:
    """Emit the nodes of a program."""
    size = _scores(program)
    folded = program.weights.mode is WeightMode.FOLDED and program.parameter_values is not None
    weights = len(program.parameter_values) + 1 if folded and program.parameter_values is not None else 0
    builder = Builder(size + weights)
    names = np.arange(size + 1, size + 1 + weights, dtype=np.int64)
    values = emit_nodes(builder, program, weights=names if folded else None)
    builder.label = "scores"
    builder.equal(values[program.scores], forms.of_wires(np.arange(1, size + 1)), "output")
    builder.steps.append(Values(1, Reading(program.scores)))
    return NodesCircuit(program, builder, size, tuple(values))


def _scores(program: Program) -> int:
    middle = [(each.low + each.high) // 2 for each in program.inputs for _ in range(each.count)]
    return len(run(program, middle).scores)

