# SPDX-License-Identifier: GPL-3.0-or-later
"""The boundary to a user's record: JSON or Python values become raw integers in the model's order.

No message here shows a value: inputs are private. It names the input and the range instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from protocol import bounded_json
from protocol.errors import InputRangeError, InputShapeError, InputTypeError, UsageError
from proving.settings import MAX_INPUTS, InputRange

if TYPE_CHECKING:
    from proving.manifest import Manifest

MAX_INPUT_FILE_BYTES = 4 << 20

Record = Mapping[str, object] | Sequence[object]
"""Inputs by name, or in the model's order."""


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


def parse_inputs(manifest: Manifest, record: Record) -> tuple[int, ...]:
    """Return the raw integers of a record, in the model's order and in range.

    Raises:
        InputShapeError: an input is missing, or one is unknown.
        InputTypeError: one is not a whole number.
        InputRangeError: one is outside its range.
    """
    ranges = manifest.ranges
    if not isinstance(record, Mapping):
        return check_inputs(ranges, record)
    names = [each.name for each in ranges]
    missing = [name for name in names if name not in record]
    if missing:
        raise InputShapeError(f"The record lacks {', '.join(missing[:8])}.")
    if len(record) > len(names):
        raise InputShapeError("The record has inputs that the model does not know.")
    return check_inputs(ranges, [record[name] for name in names])


def check_inputs(ranges: Sequence[InputRange], values: Sequence[object]) -> tuple[int, ...]:
    """Return `values` as integers; floats that are whole numbers count, booleans too.

    Raises:
        InputShapeError, InputTypeError, InputRangeError: as for `parse_inputs`.
    """
    if isinstance(values, str | bytes) or len(values) != len(ranges) or len(values) > MAX_INPUTS:
        raise InputShapeError(f"The model takes {len(ranges)} inputs.")
    return tuple(_whole(each, value) for each, value in zip(ranges, values, strict=True))


def _whole(each: InputRange, value: object) -> int:
    # numpy's scalars are no int, but tell their value by item().
    plain = value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    if not isinstance(plain, int):
        raise InputTypeError(f"Input {each.name!r} is not a whole number.")
    if not each.low <= plain <= each.high:
        raise InputRangeError(f"Input {each.name!r} is outside its range {each.low} to {each.high}.")
    return int(plain)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("an input is named twice")
    return record
