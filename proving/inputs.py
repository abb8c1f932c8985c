# SPDX-License-Identifier: GPL-3.0-or-later
"""The boundary to a user's record: JSON or Python values become raw integers in the model's order.

No message here shows a value: inputs are private. It names the input and the range instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from protocol import bounded_json
from protocol.errors import InputRangeError, InputShapeError, InputTypeError, UsageError
from proving.fixedpoint.float32_order import places
from proving.settings import MAX_INPUTS, Encoding, InputRange

MAX_INPUT_FILE_BYTES = 4 << 20
MAX_NESTING = 8
_END = object()

Record = Mapping[str, object] | Sequence[object]
"""Inputs by name, or in the model's order; arrays may be nested."""


def read_inputs(path: Path) -> Record:
    """Read a record from a JSON file: an object by input names, or an array in the model's order.

    Raises:
        UsageError: there is no such file, it is too large, or no JSON object or array.
    """
    try:
        if path.stat().st_size > MAX_INPUT_FILE_BYTES:
            raise UsageError(f"The input file passes {MAX_INPUT_FILE_BYTES} bytes.")
        record = bounded_json.loads(path.read_text("utf-8"), _unique)
    except OSError as error:
        raise UsageError(f"The input file cannot be read ({type(error).__name__}).") from None
    except (ValueError, RecursionError):
        raise UsageError("The input file is not JSON, or names an input twice.") from None
    if not isinstance(record, dict | list):
        raise UsageError("The input file must hold one JSON object or one array.")
    return record


def parse_inputs(inputs: Sequence[InputRange], record: Record) -> tuple[int, ...]:
    """Return the raw integers of a record, in the model's order and in range.

    A record by names has a number for a field of one element, an array for a longer one (arrays in arrays are
    flattened, row by row). Numbers are real: a field with a scale takes `x * 2^scale`, which must be whole; one with
    float32 encoding takes the place of the float32 next to x, which is what the model would see.

    Raises:
        InputShapeError: an input is missing, or one is unknown.
        InputTypeError: one is not a number that the field can hold exactly.
        InputRangeError: one is outside its range.
    """
    if not isinstance(record, Mapping):
        return _parsed(inputs, _flattened(record))
    names = [each.name for each in inputs]
    missing = [name for name in names if name not in record]
    if missing:
        raise InputShapeError(f"The record lacks {', '.join(missing[:8])}.")
    if len(record) > len(names):
        raise InputShapeError("The record has inputs that the model does not know.")
    values: list[object] = []
    for each in inputs:
        given = _flattened(record[each.name])
        if len(given) != each.count:
            raise InputShapeError(f"Input {each.name!r} takes {each.count} numbers, not {len(given)}.")
        values += given
    return _parsed(inputs, values)


def check_inputs(inputs: Sequence[InputRange], values: Sequence[object]) -> tuple[int, ...]:
    """Return raw integers after a check of number, type and range.

    Raises:
        InputShapeError, InputTypeError, InputRangeError: as for `parse_inputs`.
    """
    expected = sum(each.count for each in inputs)
    if isinstance(values, str | bytes) or len(values) != expected:
        raise InputShapeError(f"The model takes {expected} inputs.")
    fields = (each for each in inputs for _ in range(each.count))
    return tuple(_in_range(each, value) for each, value in zip(fields, values, strict=True))


def _flattened(value: object) -> list[object]:
    """Return the numbers of nested arrays, row by row; numpy arrays tell theirs by tolist()."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        return [value]
    flat: list[object] = []
    stack = [iter(value)]
    while stack:
        each = next(stack[-1], _END)
        if each is _END:
            stack.pop()
        elif isinstance(each, list | tuple):
            stack.append(iter(each))
        else:
            flat.append(each)
        if len(flat) > MAX_INPUTS or len(stack) > MAX_NESTING:
            raise InputShapeError(f"A model takes at most {MAX_INPUTS} inputs.")
    return flat


def _parsed(inputs: Sequence[InputRange], values: Sequence[object]) -> tuple[int, ...]:
    expected = sum(each.count for each in inputs)
    if len(values) != expected:
        raise InputShapeError(f"The model takes {expected} inputs, not {len(values)}.")
    fields = (each for each in inputs for _ in range(each.count))
    return tuple(_in_range(each, _raw(each, value)) for each, value in zip(fields, values, strict=True))


def _raw(each: InputRange, value: object) -> int:
    # numpy's scalars are no int, but tell their value by item().
    plain = value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
    if not isinstance(plain, int | float) or (isinstance(plain, float) and not math.isfinite(plain)):
        raise InputTypeError(f"Input {each.name!r} is not a number.")
    if each.encoding is Encoding.FLOAT32:
        return _place(each, float(plain))
    scaled = Fraction(plain) * (1 << each.scale)
    if scaled.denominator != 1:
        unit = "a whole number" if each.scale == 0 else f"a multiple of 2^-{each.scale}"
        raise InputTypeError(f"Input {each.name!r} is not {unit}.")
    return int(scaled)


def _place(each: InputRange, value: float) -> int:
    with np.errstate(over="ignore"):
        single = np.float32(value)
    if not np.isfinite(single):
        raise InputTypeError(f"Input {each.name!r} is beyond float32.")
    return int(places(np.array([single]))[0])


def _in_range(each: InputRange, value: object) -> int:
    if type(value) is not int:
        raise InputTypeError(f"Input {each.name!r} is not a whole number.")
    if not each.low <= value <= each.high:
        raise InputRangeError(f"Input {each.name!r} is outside its range {each.low} to {each.high}.")
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("an input is named twice")
    return record
