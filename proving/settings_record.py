# SPDX-License-Identifier: GPL-3.0-or-later
"""Compile settings as JSON: what a manifest holds and what `proofmesh model compile` reads, parsed once, here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from protocol.scalars import Record
from proving.settings import (
    MAX_INPUTS,
    Encoding,
    InputRange,
    ModelSettings,
    OutputSpec,
    Predicate,
    Reveal,
    Visibility,
    WeightMode,
    WeightSpec,
)

Name = Annotated[str, Field(min_length=1, max_length=64)]
Small = Annotated[int, Field(ge=0, le=1 << 16)]
Decimal = Annotated[str, Field(pattern=r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$")]


class InputRecord(Record):
    """A field of inputs: `count` raw integers from `low` to `low + 2^bits - 1`; see InputRange."""

    name: Name
    low: int
    bits: Small
    count: Small = 1
    scale: Small = 0
    visibility: Literal["private", "public"] = "private"
    encoding: Literal["integer", "float32"] = "integer"
    group: Small = 0

    def range(self) -> InputRange:
        """Return the typed field; raises CompileSettingsError."""
        return InputRange(self.name, self.low, self.bits, self.count, self.scale,
                          Visibility(self.visibility), Encoding(self.encoding), self.group)


class OutputRecord(Record):
    """What the proof reveals; see OutputSpec."""

    reveal: Literal["public", "sealed", "predicate", "committed"]
    target: Name = "scores"
    score_bits: Small = 8
    predicate: Literal["threshold", "class", "top_k"] | None = None
    threshold: Decimal | None = None
    threshold_on: Literal["probability", "score"] = "probability"
    threshold_public: bool = False
    at_most: bool = False
    label: Annotated[str, Field(max_length=200)] | None = None
    k: Small = 1

    def spec(self) -> OutputSpec:
        """Return the typed form; raises CompileSettingsError."""
        predicate = None if self.predicate is None else Predicate(self.predicate)
        return OutputSpec(Reveal(self.reveal), self.target, self.score_bits, predicate, self.threshold,
                          self.threshold_on, self.threshold_public, self.at_most, self.label, self.k)


class WeightsRecord(Record):
    """Whether the weights are in the circuit or private; see WeightSpec."""

    mode: Literal["constant", "folded", "poseidon"] = "constant"
    bits: Small = 8


class SettingsRecord(Record):
    """Everything besides the model file that the circuit depends on; see ModelSettings."""

    inputs: Annotated[tuple[InputRecord, ...], Field(min_length=1, max_length=MAX_INPUTS)]
    output: OutputRecord
    weights: WeightsRecord = WeightsRecord()
    fractional_bits: Small = 8
    weight_bits: Small = 8

    def settings(self) -> ModelSettings:
        """Return the typed settings.

        Raises:
            CompileSettingsError: a value is not acceptable.
        """
        return ModelSettings(
            tuple(each.range() for each in self.inputs),
            self.output.spec(),
            WeightSpec(WeightMode(self.weights.mode), self.weights.bits),
            self.fractional_bits,
            self.weight_bits,
        )


def input_record(each: InputRange) -> InputRecord:
    """Return a field as a record."""
    return InputRecord(name=each.name, low=each.low, bits=each.bits, count=each.count, scale=each.scale,
                       visibility=each.visibility.value, encoding=each.encoding.value, group=each.group)


def record_of(settings: ModelSettings) -> SettingsRecord:
    """Return settings as a record; `record_of(x).settings() == x`."""
    output = settings.output
    return SettingsRecord(
        inputs=tuple(map(input_record, settings.inputs)),
        output=OutputRecord(
            reveal=output.reveal.value,
            target=output.target,
            score_bits=output.score_bits,
            predicate=None if output.predicate is None else output.predicate.value,
            threshold=output.threshold,
            threshold_on="score" if output.threshold_on == "score" else "probability",
            threshold_public=output.threshold_public,
            at_most=output.at_most,
            label=output.label,
            k=output.k,
        ),
        weights=WeightsRecord(mode=settings.weights.mode.value, bits=settings.weights.bits),
        fractional_bits=settings.fractional_bits,
        weight_bits=settings.weight_bits,
    )
