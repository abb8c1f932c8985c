# SPDX-License-Identifier: GPL-3.0-or-later
"""Many records from a file, for calibration: .json (array of records), .csv (with a header of names), .npy."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from protocol import bounded_json
from protocol.errors import InputRangeError, InputShapeError, InputTypeError, UsageError
from proving.inputs import parse_inputs
from proving.settings import InputRange

MAX_BYTES = 512 << 20
MAX_ROWS = 100_000


def read_rows(path: Path, inputs: Sequence[InputRange]) -> list[tuple[int, ...]]:
    """Return the raw integers of each record.

    Raises:
        UsageError: the file cannot be read, is too large, or is of none of the three kinds.
        InputShapeError, InputTypeError, InputRangeError: a record does not fit the model; the message has its number.
    """
    records = _records(path)
    if not 1 <= len(records) <= MAX_ROWS:
        raise UsageError(f"{path} has {len(records)} rows; 1 to {MAX_ROWS} are taken.")
    rows = []
    for number, record in enumerate(records, 1):
        try:
            rows.append(parse_inputs(inputs, record))
        except (InputShapeError, InputTypeError, InputRangeError) as error:
            raise type(error)(f"Row {number} of {path.name}: {error.message}") from None
    return rows


def _records(path: Path) -> Sequence[dict[str, object] | list[object]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} passes {MAX_BYTES} bytes.")
        match path.suffix:
            case ".npy":
                array = np.load(path, allow_pickle=False)
                return [row.ravel().tolist() for row in array]
            case ".csv":
                return [_numbers(row) for row in csv.DictReader(io.StringIO(path.read_text("utf-8")))]
            case ".json":
                found = bounded_json.loads(path.read_text("utf-8"))
                if isinstance(found, list):
                    return found
                raise ValueError
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).") from None
    except (ValueError, TypeError, RecursionError, csv.Error):
        raise UsageError(f"{path} holds no table of numbers.") from None
    raise UsageError(f"{path} is of no known kind.", remedy="Give a .json, .csv or .npy file.")


def _numbers(row: dict[str, str]) -> dict[str, object]:
    return {name: float(text) for name, text in row.items()}
