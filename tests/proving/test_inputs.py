# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's record: clear errors that name the input and never show its value."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
from proving_models import ranges

from protocol.errors import (
    InputRangeError,
    InputShapeError,
    InputTypeError,
    ProofmeshError,
    UsageError,
)
from proving.bundle import Bundle
from proving.inputs import Record, check_inputs, parse_inputs, read_inputs
from proving.settings import Encoding, InputRange

WRONG: list[tuple[Record, type[ProofmeshError]]] = [
    ([1, 2, 3], InputShapeError),
    ([1, 2, 3, 4, 5], InputShapeError),
    ({"x0": 1, "x1": 2, "x2": 3}, InputShapeError),
    ({"x0": 1, "x1": 2, "x2": 3, "x3": 4, "x4": 5}, InputShapeError),
    ("1234", InputShapeError),
    ([1, 2, 3, []], InputShapeError),
    ([1, 2, 3, float("nan")], InputTypeError),
    ([1, 2, 3, float("inf")], InputTypeError),
    ([1, 2, 3, 86.5], InputTypeError),
    ([1, 2, 3, "86"], InputTypeError),
    ([1, 2, 3, None], InputTypeError),
    ([1, 2, 3, 10**30], InputRangeError),
    ([1, 2, 3, -21], InputRangeError),
    ([1, 2, 3, 108], InputRangeError),
]


@pytest.mark.parametrize(("record", "kind"), WRONG)
def test_wrong_records_are_refused(bundle: Bundle, record: Record, kind: type[ProofmeshError]) -> None:
    with pytest.raises(kind) as caught:
        parse_inputs(bundle.manifest.inputs, record)
    assert caught.value.exit_code == 2


def test_errors_do_not_show_the_value() -> None:
    for value in (987_654, 987_654.5, "987_654"):
        with pytest.raises(ProofmeshError) as caught:
            check_inputs(ranges(), [1, 2, 3, value])
        assert "987" not in str(caught.value) and "x3" in str(caught.value)


def test_records_by_name_and_by_order_agree(bundle: Bundle) -> None:
    by_name = {"x3": 4, "x1": 2.0, "x0": 1, "x2": numpy.float32(3)}
    for record in (by_name, [1, 2, 3, 4]):
        assert parse_inputs(bundle.manifest.inputs, record) == (1, 2, 3, 4)


def test_both_ends_of_a_range_are_in_it() -> None:
    assert check_inputs(ranges(1), [-20]) == (-20,)
    assert check_inputs(ranges(1), [107]) == (107,)


@pytest.mark.parametrize("text", ["", "{", "3", '"x"', '{"a": 1, "a": 2}', "[" * 100_000, "\udcff"])
def test_files_that_hold_no_record_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "inputs.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError):
        read_inputs(path)
    with pytest.raises(UsageError):
        read_inputs(tmp_path / "missing.json")


def test_a_record_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "inputs.json").write_text(json.dumps({"a": 1}))
    assert read_inputs(tmp_path / "inputs.json") == {"a": 1}


def test_arrays_are_flattened_row_by_row_and_counted() -> None:
    fields = (InputRange("image", 0, 4, 4), InputRange("age", 0, 7))
    for image in ([1, 2, 3, 4], [[1, 2], [3, 4]], numpy.array([[1, 2], [3, 4]])):
        assert parse_inputs(fields, {"age": 30, "image": image}) == (1, 2, 3, 4, 30)
    assert parse_inputs(fields, [[[1, 2], [3, 4]], 30]) == (1, 2, 3, 4, 30)
    with pytest.raises(InputShapeError, match="image"):
        parse_inputs(fields, {"age": 30, "image": [1, 2, 3]})
    deep: object = 1
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(InputShapeError):
        parse_inputs(fields, {"age": 30, "image": deep})


def test_a_scaled_field_takes_exact_reals_only() -> None:
    fields = (InputRange("x", -256, 9, scale=4),)
    assert parse_inputs(fields, [1.5]) == (24,) and parse_inputs(fields, [-16]) == (-256,)
    with pytest.raises(InputTypeError, match="2\\^-4"):
        parse_inputs(fields, [0.1])


def test_a_float32_field_takes_floats_in_their_order() -> None:
    fields = (InputRange("x", 0, 32, encoding=Encoding.FLOAT32),)
    numbers = [-3.5, -0.0, 0.0, 1e-38, 0.1015625, 2.0, 3e38]
    places = [parse_inputs(fields, [each])[0] for each in numbers]
    assert places == sorted(places) and len(set(places)) == len(places)
    assert parse_inputs(fields, [0.1]) == parse_inputs(fields, [numpy.float32(0.1)])
    with pytest.raises(InputTypeError, match="float32"):
        parse_inputs(fields, [1e39])
