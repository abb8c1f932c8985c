# SPDX-License-Identifier: GPL-3.0-or-later
"""Rust panics: pyo3 raises them as a BaseException that no module exports, so that `except Exception` misses them."""

from __future__ import annotations


def is_panic(error: BaseException) -> bool:
    """Say whether an exception is a panic of native code."""
    return type(error).__name__ == "PanicException" and type(error).__module__ == "pyo3_runtime"
