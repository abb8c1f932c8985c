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
    SecretError,
    UsageError,
)
from protocol.scalars import BN254_SCALAR_ORDER
from proving.bundle import Bundle
from proving.commitment import commit, derive_blinding, packing, schema_hash
from proving.inputs import Record, check_inputs, parse_inputs, read_inputs
from proving.settings import InputRange

WRONG: list[tuple[Record, type[ProofmeshError]]] = [
    ([1, 2, 3], InputShapeError),
    ([1, 2, 3, 4, 5], InputShapeError),
    ({"x0": 1, "x1": 2, "x2": 3}, InputShapeError),
    ({"x0": 1, "x1": 2, "x2": 3, "x3": 4, "x4": 5}, InputShapeError),
    ("1234", InputShapeError),
    ([1, 2, 3, float("nan")], InputTypeError),
    ([1, 2, 3, float("inf")], InputTypeError),
    ([1, 2, 3, 86.5], InputTypeError),
    ([1, 2, 3, "86"], InputTypeError),
    ([1, 2, 3, None], InputTypeError),
    ([1, 2, 3, [86]], InputTypeError),
    ([1, 2, 3, 10**30], InputRangeError),
    ([1, 2, 3, -21], InputRangeError),
    ([1, 2, 3, 108], InputRangeError),
]


@pytest.mark.parametrize(("record", "kind"), WRONG)
def test_wrong_records_are_refused(bundle: Bundle, record: Record, kind: type[ProofmeshError]) -> None:
    with pytest.raises(kind) as caught:
        parse_inputs(bundle.manifest, record)
    assert caught.value.exit_code == 2


def test_errors_do_not_show_the_value() -> None:
    for value in (987_654, 987_654.5, "987_654"):
        with pytest.raises(ProofmeshError) as caught:
            check_inputs(ranges(), [1, 2, 3, value])
        assert "987" not in str(caught.value) and "x3" in str(caught.value)


def test_records_by_name_and_by_order_agree(bundle: Bundle) -> None:
    by_name = {"x3": 4, "x1": 2.0, "x0": 1, "x2": numpy.float32(3)}
    for record in (by_name, [1, 2, 3, 4]):
        assert parse_inputs(bundle.manifest, record) == (1, 2, 3, 4)


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


def test_blinding_is_a_function_of_secret_and_salt_and_differs_for_each() -> None:
    secret = bytes(32)
    first = derive_blinding(secret, b"one")
    assert first == derive_blinding(secret, b"one")
    others = {*derive_blinding(secret, b"two"), *derive_blinding(b"\1" * 32, b"one")}
    assert len({*first, *others}) == 6
    assert all(0 <= each < BN254_SCALAR_ORDER for each in others)


def test_the_derivation_never_changes() -> None:
    # Clients recover old openings from their key: a change here would lose them.
    blinding, output_key = derive_blinding(b"k" * 32, b"salt")
    assert f"{blinding:064x}"[:16] == "15f9bd4184f0eef0"
    assert f"{output_key:064x}"[:16] == "2306f0485e81849f"


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(SecretError):
        derive_blinding(b"short", b"salt")


def test_one_commitment_has_one_reading() -> None:
    base = (InputRange("a", 0, 8), InputRange("b", 0, 8))
    wider = (InputRange("a", 0, 16), InputRange("b", 0, 8))
    named = (InputRange("a", 0, 8), InputRange("c", 0, 8))
    moved = (InputRange("a", -1, 8), InputRange("b", 0, 8))
    assert len({schema_hash(each) for each in (base, wider, named, moved)}) == 4
    digests = {commit(base, (1, 2), 3, 4), commit(base, (1, 2), 4, 3), commit(base, (2, 1), 3, 4)}
    assert len(digests) == 3


def test_packing_never_splits_an_input() -> None:
    many = tuple(InputRange(f"x{i}", 0, 60) for i in range(9))
    assert [len(group) for group in packing(many)] == [4, 4, 1]
    assert packing(many)[1] == ((4, 0), (5, 60), (6, 120), (7, 180))
