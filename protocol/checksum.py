# SPDX-License-Identifier: GPL-3.0-or-later
"""EIP-55: the capitals among an address's digits are a checksum, so a mistyped address is found out."""

from __future__ import annotations

from protocol.hashing import keccak256


def checksum_fits(digits: str) -> bool:
    """Return whether 40 hexadecimal digits are written as EIP-55 says; in one case alone they carry no checksum."""
    if digits in (digits.lower(), digits.upper()):
        return True
    return digits == checksummed(digits)


def checksummed(digits: str) -> str:
    """Return 40 hexadecimal digits with the capitals of EIP-55."""
    lowered = digits.lower()
    marks = keccak256(lowered.encode("ascii")).hex()
    return "".join(
        digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(lowered, marks, strict=False)
    )
