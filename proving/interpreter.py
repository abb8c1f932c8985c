# SPDX-License-Identifier: GPL-3.0-or-later
"""The oracle: what a fixed-point program computes, in plain integers and the plainest of code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proving.ir import Affine, Program
from proving.settings import OutputMode


@dataclass(frozen=True, slots=True)
class Trace:
    """Every intermediate integer of one evaluation; the representation is as private as the inputs."""

    activations: tuple[tuple[int, ...], ...]
    pre_activations: tuple[tuple[int, ...], ...]
    scores: tuple[int, ...]
    outputs: tuple[int, ...]

    def __repr__(self) -> str:
        return f"Trace({len(self.pre_activations)} layers)"


def run(program: Program, inputs: Sequence[int]) -> Trace:
    """Evaluate raw integer inputs, which must be in range; `outputs` are the public field elements."""
    values = tuple(x - each.low for x, each in zip(inputs, program.inputs, strict=True))
    activations, pre_activations = [values], []
    for layer in program.hidden:
        sums = affine(layer.affine, values)
        values = tuple(max(z, 0) >> layer.shift for z in sums)
        pre_activations.append(sums)
        activations.append(values)
    scores = affine(program.score, values)
    return Trace(tuple(activations), (*pre_activations, scores), scores, outputs(program, scores))


def affine(layer: Affine, values: Sequence[int]) -> tuple[int, ...]:
    """Return `bias + weights . values`."""
    return tuple(
        bias + sum(weight * value for weight, value in zip(row, values, strict=True))
        for row, bias in zip(layer.weights, layer.biases, strict=True)
    )


def outputs(program: Program, scores: Sequence[int]) -> tuple[int, ...]:
    """Return the public output elements for the given scores."""
    form = program.output
    if form.mode is OutputMode.PREDICATE:
        return (int(scores[0] >= form.threshold),)
    cut = [(z + (1 << form.sign_bits)) >> form.shift for z in scores]
    groups = [cut[start : start + form.per_element] for start in range(0, len(cut), form.per_element)]
    return tuple(sum(each << (form.width * i) for i, each in enumerate(group)) for group in groups)


def open_outputs(program: Program, elements: Sequence[int]) -> tuple[int, ...]:
    """Return what public output elements say: `(0,)` or `(1,)`, or signed scores in units of 2^-score_bits.

    Raises:
        ValueError: they are no outputs of this program.
    """
    if len(elements) != program.output_elements:
        raise ValueError("wrong number of output elements")
    form = program.output
    if form.mode is OutputMode.PREDICATE:
        if elements[0] not in (0, 1):
            raise ValueError("a predicate is 0 or 1")
        return (elements[0],)
    scores = []
    for index in range(len(program.score.biases)):
        element, place = divmod(index, form.per_element)
        unsigned = (elements[element] >> (form.width * place)) & ((1 << form.width) - 1)
        scores.append(unsigned - form.offset)
    return tuple(scores)
