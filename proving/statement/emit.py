# SPDX-License-Identifier: GPL-3.0-or-later
"""The statement of a circuit: commitments, packed inputs, outputs, binding (docs/STATEMENTS.md).

Whatever is packed is range-checked already: inputs by their bits, outputs by their bounds. So a packed element below
2^248 stands for one vector of values only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from protocol.errors import ProvingError, SecretError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.constraints import forms
from proving.constraints.builder import Builder
from proving.constraints.emission import LONG
from proving.constraints.forms import Form
from proving.constraints.gadgets.private_layer import WEIGHTS
from proving.constraints.public_wires import PublicWires, public_wires
from proving.constraints.weight_words import words_of
from proving.fixedpoint.program import Input, Parameter, Program, Ref
from proving.settings import Reveal, WeightMode
from proving.sparse import from_rows
from proving.statement.commitment import TAG_OUT, TAG_PAD, Secrets
from proving.statement.emit_hash import emit_chain
from proving.statement.fill import Constant, Digest, Fill, Hash, Packed, Secret, StatementStep, Total, Value, Wire
from proving.statement.layout import Layout, layout_of
from proving.statement.schema import Group, Packing, committed_groups, weights_schema

BLINDINGS, OUTPUT_KEY, OUTPUT_BLINDING, WEIGHT_BLINDING, BINDING = (
    "blindings", "output_key", "output_blinding", "weight_blinding", "binding",
)
"""What a prover is given besides inputs and weights (`given`); `blindings` are those of the groups, group 0 first."""


def public_wires_of(program: Program) -> PublicWires:
    """Return the public wires of a program's circuit."""
    layout = layout_of(program)
    return public_wires(
        outputs=layout.output_words,
        groups=len(layout.groups) - 1,
        inputs=len(layout.public.packing),
        threshold=layout.output.threshold_public,
        weights=layout.weights + 1 if layout.weight_mode is WeightMode.FOLDED else 0,
        weight_commitment=layout.weight_mode is WeightMode.POSEIDON,
    )


def given(program: Program, secrets: Secrets, binding: int) -> dict[str, tuple[int, ...]]:
    """Return what the witness of a program is made of besides the inputs.

    Raises:
        SecretError: there are not as many blindings as further groups.
        ProvingError: the binding is no field element.
    """
    further = len(committed_groups(program.inputs)) - 1
    if len(secrets.groups) != further:
        raise SecretError(f"The program has {further} further groups of inputs, and as many blindings are needed.")
    if type(binding) is not int or not 0 <= binding < BN254_SCALAR_ORDER:
        raise ProvingError("The binding is no field element.")
    return {
        BLINDINGS: (secrets.blinding, *secrets.groups),
        OUTPUT_KEY: (secrets.output_key,),
        OUTPUT_BLINDING: (secrets.output,),
        WEIGHT_BLINDING: (secrets.weights,),
        BINDING: (binding,),
        WEIGHTS: (*_weight_words(program), secrets.weights),
    }


@lru_cache(maxsize=4)
def _weight_words(program: Program) -> tuple[int, ...]:
    """Return the words of the owner's weights; a worker proves with the same ones again and again."""
    return words_of(program)


def emit_statement(builder: Builder, program: Program, public: PublicWires, values: Sequence[Form]) -> None:
    """Add the statement to a circuit whose nodes are emitted: `values[ref]` are their forms."""
    statement = _Statement(builder, layout_of(program), values)
    inputs = next(ref for ref, node in enumerate(program.nodes) if isinstance(node, Input))
    statement.commitments(inputs, public)
    if public.weight_commitment is not None:
        parameters = next(ref for ref, node in enumerate(program.nodes) if isinstance(node, Parameter))
        statement.weights(parameters, public.weight_commitment)
    statement.public_inputs(inputs, public)
    statement.binding(public.binding)
    if len(public.weights):
        statement.squared(int(public.weights[-1]), Secret(WEIGHT_BLINDING, 0))
    assert program.revealed is not None  # layout_of has refused it
    statement.outputs(program.revealed.ref, public)
    builder.steps.append(StatementStep(tuple(statement.fills)))


@dataclass(frozen=True, slots=True, eq=False)
class _Element:
    """One field element: as a combination of wires (or a constant), and where its value comes from."""

    form: Form | int
    value: Value


class _Statement:
    def __init__(self, builder: Builder, layout: Layout, values: Sequence[Form]) -> None:
        self._builder, self._layout, self._values = builder, layout, values
        self._digests = 0
        self._output_key: _Element | None = None
        self._binding: _Element | None = None
        self.fills: list[Fill] = []

    def commitments(self, inputs: Ref, public: PublicWires) -> None:
        left, *others = [self._group(each, place, inputs) for place, each in enumerate(self._layout.groups)]
        key = self._secret(OUTPUT_KEY)
        right = self._hash([_constant(TAG_OUT), key])
        self._output_key = key
        self._publish(self._hash([left, right]), public.commitment)
        for digest, wire in zip(others, public.groups, strict=True):
            self._publish(digest, wire)

    def weights(self, parameters: Ref, wire: int) -> None:
        layout = self._layout
        words = self._values[parameters]
        elements = [
            _Element(forms.take(words, np.array([index])), Secret(WEIGHTS, index)) for index in range(words.rows)
        ]
        schema = _constant(weights_schema(layout.weights))
        self._publish(self._hash([schema, *elements, self._secret(WEIGHT_BLINDING)]), wire)

    def public_inputs(self, inputs: Ref, public: PublicWires) -> None:
        wires = public.inputs
        for element, wire in zip(self._packed(inputs, self._layout.public.packing, short=True), wires, strict=True):
            self._publish(element, wire)
        if public.threshold is not None:
            last = self._values[inputs].rows - 1
            (element,) = self._packed(inputs, (((last, 0),),), short=True)
            self._publish(element, public.threshold)

    def binding(self, wire: int) -> None:
        self._builder.free.append(wire)
        self.fills.append(Wire(wire, Secret(BINDING, 0)))
        self._binding = _Element(forms.of_wires(np.array([wire])), Secret(BINDING, 0))
        self.squared(wire, Secret(BINDING, 0))

    def squared(self, wire: int, value: Value) -> None:
        """Square a public input that no other constraint names: it could be dropped, or changed in a proof."""
        form = forms.of_wires(np.array([wire]))
        square = self._builder.product(form, form, "binding")
        self.fills.append(Wire(int(square[0]), Total((value,), power=2)))

    def outputs(self, ref: Ref, public: PublicWires) -> None:
        reveal = self._layout.output.reveal
        if reveal is Reveal.COMMITTED:
            packed = self._packed(ref, self._layout.output_packing)
            field = self._layout.output_field
            schema = _constant(Group(0, (field,), ()).schema)
            self._publish(self._hash([schema, *packed, self._secret(OUTPUT_BLINDING)]), public.outputs[0])
            return
        packed = self._packed(ref, self._layout.output_packing, short=True)
        for index, (element, wire) in enumerate(zip(packed, public.outputs, strict=True)):
            self._publish(self._sealed(element, index) if reveal is Reveal.SEALED else element, wire)

    def _sealed(self, element: _Element, index: int) -> _Element:
        assert self._output_key is not None and self._binding is not None
        pad = self._hash([_constant(TAG_PAD), self._output_key, self._binding, _constant(index)])
        assert not isinstance(element.form, int) and not isinstance(pad.form, int)
        return _Element(forms.add(element.form, pad.form), Total((element.value, pad.value)))

    def _group(self, group: Group, place: int, inputs: Ref) -> _Element:
        blinding = self._secret(BLINDINGS, place)
        return self._hash([_constant(group.schema), *self._packed(inputs, group.packing), blinding])

    def _packed(self, ref: Ref, words: Packing, short: bool = False) -> list[_Element]:
        """Return packed elements of a node; `short`: they stand in linear rows only, however long they are."""
        rows = [{position: 1 << place for position, place in word} for word in words]
        source = self._values[ref]
        packed = forms.compose(from_rows(source.rows, rows), source)
        elements = []
        for index, word in enumerate(words):
            form, value = forms.take(packed, np.array([index])), Packed(ref, word)
            if not short and int(forms.entries(form)[0]) > LONG:
                wire = self._builder.assign(form)
                self.fills.append(Wire(int(wire[0]), value))
                form = forms.of_wires(wire)
            elements.append(_Element(form, value))
        return elements

    def _secret(self, name: str, place: int = 0) -> _Element:
        wire = self._builder.new(1)
        self._builder.free.append(int(wire[0]))
        self.fills.append(Wire(int(wire[0]), Secret(name, place)))
        return _Element(forms.of_wires(wire), Secret(name, place))

    def _hash(self, elements: Sequence[_Element]) -> _Element:
        digest, permutations = emit_chain(self._builder, [each.form for each in elements])
        self.fills.append(Hash(permutations, tuple(each.value for each in elements)))
        self._digests += 1
        return _Element(digest, Digest(self._digests - 1))

    def _publish(self, element: _Element, wire: int) -> None:
        assert not isinstance(element.form, int)
        self._builder.equal(element.form, forms.of_wires(np.array([wire])), "public")
        self.fills.append(Wire(wire, element.value))


def _constant(value: int) -> _Element:
    return _Element(value, Constant(value))
