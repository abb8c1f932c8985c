# SPDX-License-Identifier: GPL-3.0-or-later
"""Small Circom circuits as model sources."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from proving.backends.base import Compiled, Format, ModelSource
from proving.backends.circom import backend, read_folder
from proving.backends.circom_map import MAP_NAME, parse_map

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "circom"
BORN_1990 = [1990, 200, 2026, 100]
"""A record of the example: birth year and day, and the public day."""


def of_age() -> ModelSource:
    """Return the example circuit."""
    return read_folder(EXAMPLE, "of_age.circom")


@cache
def example() -> Compiled:
    """Return the example circuit, compiled once."""
    return backend().compile(of_age())


def circuit(text: str, described: str) -> ModelSource:
    """Return a circuit of one file with its input map."""
    files = {"c.circom": text.encode(), MAP_NAME: described.encode()}
    return ModelSource(Format.CIRCOM, "c.circom", files, parse_map(files[MAP_NAME]).settings)


def template(body: str, public: str = "", include: str = "") -> str:
    """Return a circuit whose main component is a template of this body."""
    listed = f" {{public [{public}]}}" if public else ""
    library = f'include "circomlib/circuits/{include}";\n' if include else ""
    return f"pragma circom 2.0.0;\n{library}template T() {{\n{body}\n}}\ncomponent main{listed} = T();\n"
