# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs as cases for the adversary: the circuit of their nodes, a wire for each score, and an honest witness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from proving_emission import integers, nodes_of
from proving_programs import program_of
from proving_soundness import Case, P

from proving.constraints.builder import Block
from proving.constraints.determinism import with_definitions
from proving.constraints.emit import EmittedCircuit
from proving.constraints.system import ConstraintSystem
from proving.fixedpoint.interpreter import run
from proving.fixedpoint.program import (
    Constant,
    Gather,
    Input,
    Linear,
    Maximum,
    Multiply,
    Node,
    NonNegative,
    Parameter,
    Piecewise,
    Program,
    Quotient,
    Rescale,
    Select,
    Thermometer,
)
from proving.settings import InputRange
from proving.sparse import exact, from_rows
from proving.statement.commitment import Secrets
from proving.statement.emit import given

BINDING = 16
WORD_BITS = 248


class NodesCircuit:
    """The nodes of a program as a circuit without a statement; its last wires are the scores."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._nodes = nodes_of(program)
        form = self._nodes.values[program.scores]
        self._scores = [form.row(index) for index in range(form.rows)]
        packed = _packed(self._inputs(), program)
        self.system, names = with_definitions(self._nodes.system, [*packed, *self._scores])
        self.packed, self.outputs = tuple(names[: len(packed)]), tuple(names[len(packed) :])
        """Words that hold the inputs, each in its own bits, as a commitment does; and the scores."""
        self.known = self._nodes.free
        kinds = {ref for ref, node in enumerate(program.nodes) if isinstance(node, Parameter)}
        public = range(1, self._nodes.system.public + 1)
        words = {wire for ref in kinds for index in range(self._nodes.values[ref].rows)
                 for wire in self._nodes.values[ref].row(index)}
        self.secrets = tuple(wire for wire in self.known if wire in public or wire in words)
        """The prover's choices besides the inputs: weights and their blinding."""
        self.blocks: tuple[Block, ...] = self._nodes.blocks

    def _inputs(self) -> list[dict[int, int]]:
        return [self._nodes.values[0].row(index) for index in range(self._nodes.values[0].rows)]

    def case(self, raw_inputs: Sequence[int]) -> Case:
        """Return the circuit with an honest witness; its scores are checked against the interpreter."""
        wires = integers(self._nodes.witness(raw_inputs))
        packed = [0] * len(self.packed)
        for x, (low, word, place) in zip(raw_inputs, _places(self.program), strict=True):
            packed[word] += (x - low) << place
        scores = [sum(int(c) * wires[w] for w, c in form.items()) % P for form in self._scores]
        assert scores == [each % P for each in run(self.program, raw_inputs).scores]
        chosen = frozenset((*self.known, *self.packed))
        return Case(self.system, (*wires, *packed, *scores), self.known, self.outputs, chosen)


def _places(program: Program) -> list[tuple[int, int, int]]:
    """The lower end of each input, its word, and the place of its bits there."""
    found, word, place = [], 0, 0
    for field in program.inputs:
        for _ in range(field.count):
            if place + field.bits > WORD_BITS:
                word, place = word + 1, 0
            found.append((field.low, word, place))
            place += field.bits
    return found


def _packed(inputs: Sequence[dict[int, int]], program: Program) -> list[dict[int, int]]:
    words: list[dict[int, int]] = []
    for form, (_, word, place) in zip(inputs, _places(program), strict=True):
        if word == len(words):
            words.append({})
        for wire, c in form.items():
            words[word][wire] = words[word].get(wire, 0) + (int(c) << place)
    return words


@dataclass(frozen=True)
class WholeCircuit:
    """A circuit with its statement."""

    program: Program
    emitted: EmittedCircuit

    @property
    def system(self) -> ConstraintSystem:
        return self.emitted.system

    def case(self, raw_inputs: Sequence[int]) -> Case:
        trace = [exact(each) for each in run(self.program, raw_inputs).values]
        secrets = Secrets(11, 12, tuple(range(20, 20 + len(self.emitted.public.groups))), 14, 15)
        wires = integers(self.emitted.plan.witness(trace, given(self.program, secrets, BINDING)))
        chosen = frozenset(self.emitted.public.weights.tolist())
        return Case(self.system, tuple(wires), self.emitted.free, self.emitted.public.outputs, chosen)


FIELDS = (InputRange("a", -20, 7, 3), InputRange("b", 0, 8, 3), InputRange("c", 0, 1), InputRange("d", 0, 8, 6))


def every_gadget() -> Program:
    """A program that has every kind of row which nodes can have, on numbers that are small."""
    a, b, c = [0, 1, 2], [3, 4, 5], 6
    mixed = [{0: 3, 3: -5, 6: 2}, {1: -4, 2: 3, 4: 1}, {0: 1, 1: 1, 5: -2}]
    wide = [{place: 2 * place + 1 for place in range(13)} for _ in range(3)]
    nodes: list[Node] = [
        Input(13),
        Linear((0,), from_rows(13, mixed), exact([17, -9, 120])),
        Rescale(1, 2, relu=True),
        Rescale(1, 3, relu=False),
        NonNegative(1),
        Maximum(2, 3),
        Multiply(3, 5),
        Multiply(3, 3),
        Select(4, 3, 5),
        Gather((0,), np.array([b[0], b[1], a[0]])),
        Thermometer(9, ((3, 100, 200), (77,), (5, 60))),
        Piecewise(9, 10, exact([2, -3, 5, 1, 4, -1, 7, 3, 0]), exact([9, 0, -4, 11, 5, 6, 1, 2, 3])),
        Linear((2,), from_rows(3, [{0: 1}, {1: 1}, {2: 1}]), exact([1, 2, 3])),
        Gather((0,), np.array([b[0], b[1], b[2]])),
        Quotient(13, 12),
        Constant(exact([7, 8, 3])),
        Quotient(13, 15),
        Gather((0,), np.array([c, c, c])),
        Linear((0,), from_rows(13, wide), exact([0, 1, 2])),
        Multiply(18, 3),
        Select(17, 18, 13),
        Thermometer(18, ((40, 41, 42), (90,), (500, 6000))),
    ]
    used = (2, 3, 4, 5, 6, 7, 8, 10, 11, 14, 16, 19, 20, 21)
    sizes = {10: 6, 21: 6}
    nodes.append(Gather(used, np.arange(sum(sizes.get(ref, 3) for ref in used))))
    return program_of(nodes, FIELDS)
