# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings file of `proofmesh model compile`: what the inputs are, and what the proof reveals.

    {"inputs": [{"name": "Age", "low": 18, "high": 100}, ...],
     "output": "predicate", "threshold": "0.7",
     "provenance": {"licence": "GPL-3.0-or-later", "description": "..."}}

`output` is `predicate` (one bit: probability at or above `threshold`) or `public` (the score itself).
Optional: `fractional_bits` (16), `score_bits` (8), `provenance`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import CompileSettingsError
from proving.manifest import Provenance
from proving.settings import InputRange, OutputMode, Settings

MAX_BYTES = 1 << 20


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
    name: str
    low: int
    high: int


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
    inputs: Annotated[list[_Input], Field(min_length=1, max_length=4096)]
    output: Literal["public", "predicate"]
    threshold: str | None = None
    fractional_bits: int = 16
    score_bits: int = 8
    provenance: Provenance = Provenance()


def read_settings(path: Path) -> tuple[Settings, Provenance]:
    """Return what a settings file says.

    Raises:
        CompileSettingsError: it cannot be read, or a field is not acceptable; the message names the field.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CompileSettingsError(f"{path} cannot be read ({error.strerror}).") from None
    if len(data) > MAX_BYTES:
        raise CompileSettingsError(f"{path} is larger than {MAX_BYTES} bytes.")
    try:
        parsed = _File.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "its start"
        raise CompileSettingsError(f"{path}, at {place}: {first['msg'].lower()}.") from None
    ranges = tuple(InputRange.covering(each.name, each.low, each.high) for each in parsed.inputs)
    settings = Settings(
        ranges, OutputMode(parsed.output), parsed.threshold, parsed.fractional_bits, parsed.score_bits
    )
    return settings, parsed.provenance
