# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/PROTOCOL.md says what the code does: caps, fields, type strings, names, vectors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from make_vectors import FOLDER

from node.endpoint import MARKET_PROTOCOL
from node.net.bundles import PROTOCOL as BUNDLE_PROTOCOL
from node.net.live import PING
from protocol.codec import LONGEST_CONTAINER, MOST_CONTAINERS
from protocol.eip712 import Signable, type_string
from protocol.messages import MESSAGE_KINDS, SIZE_CAPS
from protocol.scalars import BN254_SCALAR_ORDER

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "PROTOCOL.md").read_text("utf-8")


def test_the_table_of_caps_is_the_codes() -> None:
    assert {kind: int(cap) for kind, cap in re.findall(r"^\| `(\w+)` \| (\d+) \| ", TEXT, re.M)} == SIZE_CAPS


@pytest.mark.parametrize("kind", MESSAGE_KINDS)
def test_each_message_is_described_field_by_field(kind: str) -> None:
    model = MESSAGE_KINDS[kind]
    section = TEXT.split(f"\n**`{kind}`**, {model.__name__}.")[1].split("\n**`")[0].split("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \| ", section, re.M)
    assert described == [name for name in model.model_fields if name not in ("kind", "version", "network")]


def test_each_type_string_is_there() -> None:
    lines = TEXT.splitlines()
    assert all(type_string(struct) in lines for struct in get_args(Signable))


def test_names_bounds_and_vectors_are_there() -> None:
    names = [MARKET_PROTOCOL, BUNDLE_PROTOCOL, PING, str(BN254_SCALAR_ORDER)]
    names += [f"`{path.name}`" for path in FOLDER.iterdir()]
    names += [f"At most {MOST_CONTAINERS} maps and arrays", f"at most {LONGEST_CONTAINER} entries"]
    assert [name for name in names if name not in TEXT] == []
