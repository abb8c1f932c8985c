# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the wire as JSON in which nothing is lost: 0x strings, decimal strings, text, null."""

from __future__ import annotations

from typing import Any

from protocol.scalars import Record


def in_json(value: Any) -> Any:
    """Return records as maps, bytes as 0x strings, integers as decimal strings, the rest as it is."""
    if isinstance(value, Record):
        return {name: in_json(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, (tuple, list)):
        return [in_json(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value
