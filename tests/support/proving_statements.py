# SPDX-License-Identifier: GPL-3.0-or-later
"""Small graphs as whole circuits, for the tests of statements: compile, fill the witness, read the words back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from protocol.scalars import BN254_SCALAR_ORDER
from proving.constraints.check import violated
from proving.constraints.emit import EmittedCircuit, emit
from proving.constraints.forms import take
from proving.constraints.system import ConstraintSystem
from proving.fixedpoint import interpreter
from proving.fixedpoint.program import Program
from proving.fixedpoint.quantise import quantise
from proving.importer import graph
from proving.settings import ModelSettings
from proving.sparse import Array, Sparse, exact, from_rows
from proving.statement.commitment import Secrets
from proving.statement.emit import given
from proving.statement.layout import Layout, layout_of
from proving.statement.opening import Statement, parse

SECRETS = Secrets(11, 12, (13,), 14, 15)
BINDING = 16


@dataclass(frozen=True)
class Compiled:
    """A program, its circuit and its layout."""

    program: Program
    circuit: EmittedCircuit
    layout: Layout

    def trace(self, raw: Sequence[int]) -> interpreter.Trace:
        return interpreter.run(self.program, raw)

    def revealed(self, raw: Sequence[int]) -> tuple[int, ...]:
        """The integers that the statement carries, as the interpreter says, signed."""
        revealed = self.program.revealed
        assert revealed is not None
        return tuple(each - revealed.offset for each in self.trace(raw).values[revealed.ref])

    def witness(self, raw: Sequence[int], secrets: Secrets = SECRETS, binding: int = BINDING) -> Array:
        """The witness; of the blindings of groups as many are taken as there are further groups."""
        values = [exact(each) for each in self.trace(raw).values]
        own = replace(secrets, groups=secrets.groups[: len(self.layout.groups) - 1])
        return self.circuit.plan.witness(values, given(self.program, own, binding))

    def words(self, witness: Array) -> list[int]:
        """The words that a verifier sees."""
        return [value_of(witness, wire) for wire in range(1, 1 + self.circuit.public.statement)]

    def satisfied(self, witness: Array) -> bool:
        return violated(self.circuit.system, witness) is None

    def broken_by(self, witness: Array, wire: int, value: int) -> bool:
        """Whether another value on one wire breaks a row that names the wire; no other row can break."""
        system = self.circuit.system
        rows = np.unique(np.concatenate([side.row_of_entry()[side.indices == wire] for side in _sides(system)]))
        part = ConstraintSystem(system.wires, system.public, *(take(side, rows) for side in _sides(system)))
        return violated(part, changed(witness, wire, value)) is not None

    def statement(self, raw: Sequence[int], secrets: Secrets = SECRETS, binding: int = BINDING) -> Statement:
        """The statement of an honest witness, which is checked."""
        witness = self.witness(raw, secrets, binding)
        assert self.satisfied(witness)
        return parse(self.layout, self.words(witness))


def compiled(model: graph.Graph, settings: ModelSettings) -> Compiled:
    program = quantise(model, settings)
    return Compiled(program, emit(program), layout_of(program))


def _sides(system: ConstraintSystem) -> tuple[Sparse, Sparse, Sparse]:
    return system.a, system.b, system.c


def value_of(witness: Array, wire: int) -> int:
    return int.from_bytes(bytes(witness[wire]), "little")


def changed(witness: Array, wire: int, value: int) -> Array:
    """The same witness with another value on one wire."""
    copy = witness.copy()
    copy[wire] = np.frombuffer((value % BN254_SCALAR_ORDER).to_bytes(32, "little"), dtype=np.uint8)
    return copy


def dense(sources: tuple[int, ...], matrix: Sequence[Sequence[float]], bias: Sequence[float]) -> graph.Linear:
    """A trained layer."""
    rows = [dict(enumerate(map(float, row))) for row in matrix]
    return graph.Linear(
        sources, from_rows(len(matrix[0]), rows, np.float64), np.array(bias, dtype=np.float64), trained=True
    )


def classifier(classes: int, inputs: int = 4) -> graph.Graph:
    """A network with one hidden layer: one logit (`classes` 2) or one score a class; labels "0", "1".."""
    generator = np.random.default_rng(classes)
    outputs = 1 if classes == 2 else classes
    # Weights on a grid of 1/64, so that private ones of 8 bits hold them.
    hidden, last = (generator.integers(-64, 65, shape) / 64 for shape in ((3, inputs), (outputs, 3)))
    nodes = (
        graph.Input(inputs),
        dense((0,), hidden.tolist(), [0.25, -0.5, 0.125]),
        graph.Relu(1),
        dense((2,), last.tolist(), [0.5] * outputs),
    )
    link = graph.Link.SIGMOID if classes == 2 else graph.Link.SOFTMAX
    head = graph.Head(3, link, tuple(map(str, range(classes))))
    return whole(nodes, head, inputs)


def whole(nodes: tuple[graph.Node, ...], head: graph.Head, *sizes: int) -> graph.Graph:
    """A graph whose inputs are named x, y.. and have these sizes."""
    shapes = tuple((1, each) for each in sizes)
    labels = tuple(f"{type(each).__name__} {ref}" for ref, each in enumerate(nodes))
    return graph.Graph(nodes, head, (), tuple("xyzuvw"[: len(sizes)]), shapes, labels)
