# SPDX-License-Identifier: GPL-3.0-or-later
"""A circuit's files and its map: what is read, and what is refused before a compiler sees it."""

from __future__ import annotations

import pytest

from protocol.errors import CompileSettingsError, ModelError
from proving.backends.circom_map import parse_map
from proving.backends.circom_source import prepare
from proving.settings import Reveal, Visibility

MAIN = b"template T(n) { } /* component main = No(); */ component main {public [a, b]} = T(3);"
MAP = """
[[input]]
name = "a"
low = -5
bits = 4
shape = [2, 3]
visibility = "public"
[[output]]
name = "y"
low = -1
bits = 2
[[output]]
name = "z"
bits = 4
"""


def test_a_map_gives_fields_in_order_and_one_range_for_all_outputs() -> None:
    described = parse_map(MAP.encode())
    (field,) = described.ranges
    assert (field.name, field.low, field.bits, field.count) == ("a", -5, 4, 6)
    assert field.visibility is Visibility.PUBLIC
    assert described.reveal is Reveal.PUBLIC
    # -1 to 2 and 0 to 15 are within -1 to 15: five bits from -1 on.
    assert (described.revealed.count, described.revealed.bits, described.revealed.offset) == (2, 5, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("low = -5", "low = 0.5"),
        ("bits = 4\nshape", "bits = 63\nshape"),
        ("shape = [2, 3]", "shape = [0]"),
        ("shape = [2, 3]", "shape = [4096, 2]"),
        ('name = "a"', 'name = "a b"'),
        ('name = "a"', 'name = "proofmesh_binding"'),
        ('name = "a"', 'name = "y"'),
        ('visibility = "public"', 'visibility = "secret"'),
        ('visibility = "public"', 'kind = "public"'),
        ("bits = 2", "bits = 63"),
        ("low = -1\nbits = 2", "low = -4611686018427387904\nbits = 62"),
        ("bits = 2", "bits = 100"),
        ("[[output]]", "[[outputs]]"),
        ("[[input]]", "[[input"),
    ],
)
def test_a_map_with_anything_else_is_refused(old: str, new: str) -> None:
    assert old in MAP
    with pytest.raises(CompileSettingsError):
        parse_map(MAP.replace(old, new).encode())


def test_the_main_component_is_taken_out_and_comments_do_not_count() -> None:
    source = prepare("c.circom", {"c.circom": MAIN, "inputs.toml": b""})
    assert source.call == "T(3)"
    assert source.public == ("a", "b")
    assert "component main" not in source.files["c.circom"]


def test_includes_reach_the_circuits_own_files_and_circomlib_only() -> None:
    text = b'include "./other.circom"; include "../node_modules/circomlib/circuits/poseidon.circom"; ' + MAIN
    source = prepare("c.circom", {"c.circom": text, "other.circom": b""})
    assert 'include "other.circom";' in source.files["c.circom"]
    assert 'include "poseidon.circom";' in source.files["c.circom"]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../secret.circom", "circomlib/circuits/../x.circom", "missing.circom"]
)
def test_an_include_of_anything_else_is_refused(path: str) -> None:
    with pytest.raises(ModelError, match="include"):
        prepare("c.circom", {"c.circom": f'include "{path}";'.encode() + MAIN})


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"c.circom": b"template T() { }"},
        {"c.circom": MAIN + MAIN},
        {"c.circom": MAIN, "d.circom": MAIN},
        {"c.circom": MAIN + b"\xff"},
        {"c.circom": MAIN, "../d.circom": b""},
        {"c.circom": MAIN + b" " * (9 << 20)},
    ],
)
def test_files_without_exactly_one_main_component_are_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(ModelError):
        prepare("c.circom", files)
