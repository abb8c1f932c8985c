# SPDX-License-Identifier: GPL-3.0-or-later
"""Exact rationals to the fixed-point program, with an interval for every neuron.

Every decision here is made in integers and rationals, so that any machine gets the same circuit.

The first layer takes raw integers (an income of 300,000 beside a flag), with the scaler folded in, so its
weights are tiny: they get `fractional_bits` plus the bits of the largest input, and the rounding of a
weight then moves a pre-activation by at most half a unit of precision. Later layers see activations
of everyday size and get `fractional_bits`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from protocol.errors import CompileSettingsError, WeightError
from proving.ir import Affine, Hidden, Interval, Output, Program
from proving.network import Dense, Network
from proving.settings import OutputMode, Settings, logit_threshold

MAX_SUM_BITS = 240
"""A sum with its sign must stay clear of the field's 254 bits."""

PACKED_BITS = 248
"""How many bits are packed into one field element."""


def quantise(network: Network, settings: Settings) -> Program:
    """Return the fixed-point program of a model.

    Raises:
        CompileSettingsError: the settings do not fit the model.
        WeightError: a sum could pass 240 bits.
    """
    if network.input_size != len(settings.inputs):
        raise CompileSettingsError(
            f"The model takes {network.input_size} inputs, the settings describe {len(settings.inputs)}."
        )
    precision = settings.fractional_bits
    weight_bits = precision + max(each.magnitude for each in settings.inputs).bit_length()
    first = _shift_inputs(network.layers[0], [each.low for each in settings.inputs])
    layers = (first, *network.layers[1:])
    ranges = [Interval(0, (1 << each.bits) - 1) for each in settings.inputs]
    scale, hidden = 0, []
    for layer in layers[:-1]:
        affine = _affine(layer, weight_bits, scale, ranges)
        shift = weight_bits + scale - precision
        hidden.append(Hidden(affine, shift))
        ranges = [Interval(max(b.low, 0) >> shift, max(b.high, 0) >> shift) for b in affine.bounds]
        scale, weight_bits = precision, precision
    score = _affine(layers[-1], weight_bits, scale, ranges)
    scale += weight_bits
    return Program(settings.inputs, tuple(hidden), score, scale, _output(score, scale, settings))


def _shift_inputs(layer: Dense, lows: Sequence[int]) -> Dense:
    """Let the layer take u = x - low instead of x."""
    moved = tuple(
        bias + sum((w * low for w, low in zip(row, lows, strict=True)), Fraction(0))
        for row, bias in zip(layer.weights, layer.biases, strict=True)
    )
    return Dense(layer.weights, moved)


def _affine(layer: Dense, weight_bits: int, scale: int, ranges: Sequence[Interval]) -> Affine:
    weights = tuple(tuple(round(w * (1 << weight_bits)) for w in row) for row in layer.weights)
    biases = tuple(round(bias * (1 << (weight_bits + scale))) for bias in layer.biases)
    bounds = tuple(_bound(row, bias, ranges) for row, bias in zip(weights, biases, strict=True))
    if max(bound.sign_bits for bound in bounds) > MAX_SUM_BITS:
        raise WeightError(f"A neuron's sum could need more than {MAX_SUM_BITS} bits.")
    return Affine(weights, biases, bounds)


def _bound(row: Sequence[int], bias: int, ranges: Sequence[Interval]) -> Interval:
    low = high = bias
    for weight, each in zip(row, ranges, strict=True):
        low += weight * (each.low if weight > 0 else each.high)
        high += weight * (each.high if weight > 0 else each.low)
    return Interval(low, high)


def _output(score: Affine, scale: int, settings: Settings) -> Output:
    if settings.output is OutputMode.PREDICATE:
        return _predicate(score, scale, settings.threshold or "")
    shift = scale - settings.score_bits
    sign_bits = max(shift, *(bound.sign_bits for bound in score.bounds))
    width = sign_bits + 1 - shift
    return Output(OutputMode.PUBLIC, 0, sign_bits, shift, width, PACKED_BITS // width)


def _predicate(score: Affine, scale: int, threshold: str) -> Output:
    if len(score.bounds) != 1:
        raise CompileSettingsError("A predicate needs a model with one logit; this one has several classes.")
    least = logit_threshold(threshold, scale)
    bound = score.bounds[0]
    if not bound.low < least <= bound.high:
        raise CompileSettingsError("No input in range can reach both sides of the threshold.")
    distance = Interval(bound.low - least, bound.high - least)
    return Output(OutputMode.PREDICATE, least, distance.sign_bits, 0, 1, 1)
