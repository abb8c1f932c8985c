# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings file of `proofmesh model compile`: what the inputs are, and what the proof reveals.

    {"inputs": [{"name": "Age", "low": 18, "high": 100}, {"name": "pixel", "count": 64, "low": 0, "high": 16}],
     "output": "predicate", "threshold": "0.7",
     "provenance": {"licence": "GPL-3.0-or-later", "description": "..."}}

`output` is a word (`predicate`, `public`, `sealed`, `committed`) or an object with the fields of OutputRecord
(proving/settings_record.py). All fields and what they cost: docs/MODELS.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import CompileSettingsError
from proving.manifest import Provenance
from proving.settings import (
    DEFAULT_BITS,
    MAX_INPUTS,
    Encoding,
    InputRange,
    ModelSettings,
    Visibility,
    WeightMode,
    WeightSpec,
)
from proving.settings_record import Name, OutputRecord, WeightsRecord

MAX_BYTES = 1 << 20


class _Parsed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class _Input(_Parsed):
    name: Name
    low: int = 0
    high: int | None = None
    count: int = 1
    scale: int = 0
    visibility: Literal["private", "public"] = "private"
    encoding: Literal["integer", "float32"] = "integer"
    group: int = 0

    def range(self) -> InputRange:
        visibility, encoding = Visibility(self.visibility), Encoding(self.encoding)
        if encoding is Encoding.FLOAT32:
            return InputRange(self.name, 0, 32, self.count, 0, visibility, encoding, self.group)
        if self.high is None:
            raise CompileSettingsError(f"Input {self.name!r} needs `high`, its largest value.")
        bits = InputRange.covering(self.name, self.low, self.high).bits
        return InputRange(self.name, self.low, bits, self.count, self.scale, visibility, encoding, self.group)


class _File(_Parsed):
    inputs: Annotated[list[_Input], Field(min_length=1, max_length=MAX_INPUTS)]
    output: Literal["public", "predicate", "sealed", "committed"] | OutputRecord
    threshold: str | None = None
    weights: WeightsRecord = WeightsRecord()
    fractional_bits: int | None = None
    weight_bits: int | None = None
    provenance: Provenance = Provenance()


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a settings file says; `precision_given`: it names bits, so none are to be searched for."""

    settings: ModelSettings
    provenance: Provenance
    precision_given: bool


def read_settings(path: Path) -> SettingsFile:
    """Return what a settings file says.

    Raises:
        CompileSettingsError: it cannot be read, or a field is not acceptable; the message names the field.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CompileSettingsError(f"{path} cannot be read ({error.strerror}).") from None
    return parse_settings(data, str(path))


def parse_settings(data: bytes, path: str = "The settings") -> SettingsFile:
    """Return what the bytes of a settings file say; raises CompileSettingsError."""
    if len(data) > MAX_BYTES:
        raise CompileSettingsError(f"{path} is larger than {MAX_BYTES} bytes.")
    try:
        parsed = _File.model_validate_json(data)
        output = _output(parsed)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "its start"
        raise CompileSettingsError(f"{path}, at {place}: {first['msg'].lower()}.") from None
    settings = ModelSettings(
        tuple(each.range() for each in parsed.inputs),
        output.spec(),
        WeightSpec(WeightMode(parsed.weights.mode), parsed.weights.bits),
        parsed.fractional_bits or DEFAULT_BITS,
        parsed.weight_bits or DEFAULT_BITS,
    )
    given = parsed.fractional_bits is not None or parsed.weight_bits is not None
    return SettingsFile(settings, parsed.provenance, given)


def _output(parsed: _File) -> OutputRecord:
    if isinstance(parsed.output, OutputRecord):
        if parsed.threshold is not None:
            raise CompileSettingsError("Write the threshold into `output`, where its other fields are.")
        return parsed.output
    if parsed.output == "predicate":
        return OutputRecord(reveal="predicate", predicate="threshold", threshold=parsed.threshold)
    if parsed.threshold is not None:
        raise CompileSettingsError("A threshold goes with predicate output, and only with it.")
    return OutputRecord(reveal=parsed.output)
