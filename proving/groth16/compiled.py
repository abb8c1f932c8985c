# SPDX-License-Identifier: GPL-3.0-or-later
"""From an ONNX file to a checked circuit: the four steps of docs/adr/0005 in a row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from proving.constraints.determinism_statement import require_determined
from proving.constraints.emit import EmittedCircuit, emit
from proving.constraints.files import r1cs_bytes
from proving.constraints.system import ConstraintSystem
from proving.fixedpoint.batch import Evaluator
from proving.fixedpoint.program import Program
from proving.fixedpoint.quantise import quantise
from proving.importer.graph import Graph
from proving.importer.model import import_model
from proving.settings import ModelSettings
from proving.statement.layout import Layout, layout_of


@dataclass(frozen=True, slots=True, eq=False)
class CompiledModel:
    """A model as a circuit. `circuit_hash` is SHA-256 of the .r1cs file's hash and the layout's; 32 bytes."""

    graph: Graph = field(repr=False)
    program: Program = field(repr=False)
    emitted: EmittedCircuit = field(repr=False)
    layout: Layout = field(repr=False)
    evaluator: Evaluator = field(repr=False)
    circuit_hash: bytes

    @property
    def system(self) -> ConstraintSystem:
        return self.emitted.system

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in the model's order; empty for a regressor."""
        return self.graph.head.labels


def compile_model(model: bytes, settings: ModelSettings) -> CompiledModel:
    """Return the circuit of an ONNX file: a function of the bytes and the settings alone, on every machine.

    Raises:
        ModelError: one of its kinds: the file is malformed, an operator is not supported, a weight does not fit, the
            settings do not fit the model, or the circuit leaves an output undetermined.
    """
    graph = import_model(model)
    program = quantise(graph, settings)
    emitted = emit(program)
    require_determined(emitted)
    layout = layout_of(program)
    digest = hashlib.sha256(hashlib.sha256(r1cs_bytes(emitted.system)).digest() + layout.digest()).digest()
    return CompiledModel(graph, program, emitted, layout, Evaluator(program), digest)


def with_parameters(model: CompiledModel, values: Sequence[int]) -> CompiledModel:
    """Return the same circuit with other private weights (unsigned, in the order of its parameters)."""
    program = replace(model.program, parameter_values=np.array(values, dtype=np.int64))
    return replace(model, program=program, evaluator=Evaluator(program, model.evaluator.bounds))
