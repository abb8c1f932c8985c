# SPDX-License-Identifier: GPL-3.0-or-later
"""The input map of a Circom circuit: which signals are the record, in which ranges, and what the proof reveals.

A TOML file `inputs.toml` beside the circuit::

    reveal = "public"            # or "sealed", "committed"

    [[input]]
    name = "birth_year"          # an input signal of the main component
    low = 1900
    bits = 8                     # 1900 to 2155
    visibility = "private"       # or "public"; must agree with the circuit's `public [..]`
    shape = []                   # [] a single signal, [3] an array, [2, 3] an array of arrays
    group = 0                    # a commitment of its own, as in InputRange

    [[output]]
    name = "adult"               # an output signal of the main component
    low = 0
    bits = 1                     # 0 to 1, checked by the circuit

Signals stand in the record in the order of the map, arrays in row-major order. An output that the map leaves out is
computed but not shown. All outputs are packed at the width of the widest.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from protocol.errors import CompileSettingsError
from protocol.scalars import Record
from proving.fixedpoint.program import Revealed
from proving.settings import MAX_INPUT_BITS, InputRange, ModelSettings, OutputSpec, Reveal, Visibility

MAP_NAME = "inputs.toml"
MAX_MAP_BYTES = 1 << 20
OUTPUT_NAME = "outputs"
_SIGNAL = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,63}")
_RESERVED = "proofmesh_"
Shape = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(max_length=4)]


@dataclass(frozen=True, slots=True)
class Signal:
    """An array of signals of the main component; no shape is a single one."""

    name: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class CircomMap:
    """`ranges[i]` are the values that `inputs[i]` may take."""

    inputs: tuple[Signal, ...]
    ranges: tuple[InputRange, ...]
    outputs: tuple[Signal, ...]
    revealed: Revealed
    reveal: Reveal

    @property
    def settings(self) -> ModelSettings:
        """The map as the settings that a manifest holds; precision has no meaning for a circuit of integers."""
        return ModelSettings(self.ranges, OutputSpec(self.reveal, score_bits=0))


class _Input(Record):
    name: str
    low: int
    bits: Annotated[int, Field(ge=1, le=62)]
    visibility: Literal["private", "public"] = "private"
    shape: Shape = ()
    group: Annotated[int, Field(ge=0, le=7)] = 0


class _Output(Record):
    name: str
    low: Annotated[int, Field(ge=-(1 << 62), le=1 << 62)] = 0
    bits: Annotated[int, Field(ge=1, le=62)]
    shape: Shape = ()


class _Map(Record):
    reveal: Literal["public", "sealed", "committed"] = "public"
    input: tuple[_Input, ...]
    output: Annotated[tuple[_Output, ...], Field(min_length=1)]


def parse_map(data: bytes) -> CircomMap:
    """Parse an input map.

    Raises:
        CompileSettingsError: it is no such map.
    """
    if len(data) > MAX_MAP_BYTES:
        raise CompileSettingsError(f"{MAP_NAME} has more than {MAX_MAP_BYTES} bytes.")
    try:
        found = _Map.model_validate(_tuples(tomllib.loads(data.decode("utf-8"))))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CompileSettingsError(f"{MAP_NAME} is not TOML: {error}.") from None
    except RecursionError:
        raise CompileSettingsError(f"{MAP_NAME} is nested too deep.") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(each) for each in first["loc"])
        raise CompileSettingsError(f"{MAP_NAME}: {place}: {first['msg']}.") from None
    inputs = tuple(Signal(each.name, each.shape) for each in found.input)
    outputs = tuple(Signal(each.name, each.shape) for each in found.output)
    _check_names((*inputs, *outputs))
    ranges = tuple(
        InputRange(
            each.name, each.low, each.bits, signal.count, visibility=Visibility(each.visibility), group=each.group
        )
        for each, signal in zip(found.input, inputs, strict=True)
    )
    parsed = CircomMap(inputs, ranges, outputs, _revealed(found.output, outputs), Reveal(found.reveal))
    parsed.settings  # noqa: B018  what ModelSettings refuses, a map must not hold
    return parsed


def _revealed(records: Sequence[_Output], outputs: Sequence[Signal]) -> Revealed:
    """Return the common range of all outputs: what holds each."""
    count = sum(each.count for each in outputs)
    low = min(each.low for each in records)
    high = max(each.low + (1 << each.bits) - 1 for each in records)
    bits = max(1, (high - low).bit_length())
    if bits > MAX_INPUT_BITS:
        raise CompileSettingsError(f"{MAP_NAME}: no {MAX_INPUT_BITS} bits hold every output.")
    return Revealed(0, OUTPUT_NAME, count, bits, -low, 0)


def _check_names(signals: tuple[Signal, ...]) -> None:
    names = [each.name for each in signals]
    for name in names:
        if not _SIGNAL.fullmatch(name) or name.startswith(_RESERVED):
            raise CompileSettingsError(f"{MAP_NAME}: {name!r} is no name of a signal.")
    if len(set(names)) != len(names):
        raise CompileSettingsError(f"{MAP_NAME} names a signal twice.")


def _tuples(value: object) -> object:
    """Return parsed TOML with its arrays as tuples: records are strict."""
    if isinstance(value, list):
        return tuple(_tuples(each) for each in value)
    if isinstance(value, dict):
        return {name: _tuples(each) for name, each in value.items()}
    return value
