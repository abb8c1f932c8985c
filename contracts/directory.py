# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of peers: one contract for every Escrow, at the same address on every chain. No I/O.

Whoever announces pays gas and signs with its account; the last word of an account for an Escrow counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.abi import call_data, deployment_data
from contracts.deployment import DEFAULT_SALT, FACTORY
from protocol.hashing import keccak256

MAX_BYTES = 1024
MAX_ADDRESSES = 8
LONGEST_ADDRESS = 256
CREATION = DEFAULT_SALT + deployment_data("PeerDirectory")
"""What the deterministic-deployment proxy is called with."""
DIRECTORY = keccak256(b"\xff" + FACTORY + DEFAULT_SALT + keccak256(CREATION[32:]))[12:]


def announce(escrow: bytes, addresses: Sequence[str]) -> bytes:
    """Call data of `announce`: as many of the addresses, in their order, as an announcement holds."""
    return call_data("PeerDirectory", "announce", escrow, announcement(addresses))


def announcement(addresses: Sequence[str]) -> bytes:
    """What `announce` says: as many of the addresses, in their order, as an announcement holds."""
    text = b""
    for address in addresses[:MAX_ADDRESSES]:
        longer = text + (b"\n" if text else b"") + address.encode()
        if len(longer) > MAX_BYTES:
            break
        text = longer
    return text


def addresses_in(announced: bytes) -> tuple[str, ...]:
    """Return the addresses of an announcement; none of what is no text in printable ASCII, one address a line."""
    try:
        lines = announced[:MAX_BYTES].decode("ascii").split("\n")
    except UnicodeDecodeError:
        return ()
    return tuple(line for line in lines[:MAX_ADDRESSES] if line.isprintable() and 0 < len(line) <= LONGEST_ADDRESS)
