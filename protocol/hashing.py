# SPDX-License-Identifier: GPL-3.0-or-later
"""Keccak-256 as the EVM uses it (not FIPS 202 SHA3-256)."""

from __future__ import annotations

from eth_hash.auto import keccak


def keccak256(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 digest of `data` (Yellow Paper, appendix on precompiled KEC)."""
    return bytes(keccak(data))
