# SPDX-License-Identifier: GPL-3.0-or-later
"""EIP-55: the capitals among an address's digits are a checksum, so a mistyped address is found out."""

from __future__ import annotations

from eth_utils.address import is_checksum_address


def checksum_fits(digits: str) -> bool:
    """Return whether 40 hexadecimal digits are written as EIP-55 says; in one case alone they carry no checksum."""
    if digits in (digits.lower(), digits.upper()):
        return True
    return is_checksum_address("0x" + digits)
