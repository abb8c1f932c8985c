# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON of strangers: parsed only when it nests no deeper than any format here does.

A library of the wallet stack raises Python's recursion limit when it is imported; from then on the
standard parser does not refuse deep nesting but crashes the process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 64

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def loads(text: str | bytes | bytearray, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Return the value of a JSON text; `pairs` makes objects from their pairs, as `json.loads` does.

    Raises:
        ValueError: it is not JSON, or nests deeper than `MAX_DEPTH`.
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
    if _depth(raw) > MAX_DEPTH:
        raise ValueError("the JSON nests too deep")
    return json.loads(text, object_pairs_hook=pairs)


def _depth(raw: bytes) -> int:
    """Return how deep the parser would go; brackets inside strings open and close nothing."""
    depth = deepest = 0
    for bracket in _STRING.sub(b"", raw).translate(None, _NO_BRACKETS):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth = max(0, depth - 1)
    return deepest
