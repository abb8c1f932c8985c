# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an address can be listened on, said clearly before the host starts."""

from __future__ import annotations

import errno
import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import multiaddr  # type: ignore[import-untyped]
from libp2p.utils.address_validation import expand_wildcard_address

from protocol.errors import AddressError, ListenError


def parse_listen(address: str) -> tuple[socket.AddressFamily, str, int]:
    """Return family, host and port of /ip4|ip6/<host>/tcp/<port>.

    Raises:
        AddressError: it is something else.
    """
    try:
        parsed = multiaddr.Multiaddr(address)
        names = [protocol.name for protocol in parsed.protocols()]
        host, port = parsed.value_for_protocol(names[0]), parsed.value_for_protocol("tcp")
        if names not in (["ip4", "tcp"], ["ip6", "tcp"]) or host is None or port is None:
            raise ValueError
    except Exception:  # the multiaddr library raises many kinds
        raise AddressError(
            f"Cannot listen on {address[:200]!r}.", remedy="Write it as /ip4/<address>/tcp/<port>."
        ) from None
    return (socket.AF_INET if names[0] == "ip4" else socket.AF_INET6), host, int(port)


def check_free(addresses: Sequence[str]) -> None:
    """Make sure that each address can be bound.

    The library binds with SO_REUSEPORT, so that two nodes of one user would share a port in silence.

    Raises:
        ListenError: a port is in use, or the address is not of this machine.
    """
    for address in addresses:
        family, host, port = parse_listen(address)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise ListenError(f"The port of {address} is in use by another program.") from None
                raise ListenError(f"Cannot listen on {address}: {os.strerror(error.errno or 0)}.") from None


def dialable(addresses: Sequence[str]) -> tuple[str, ...]:
    """Return `addresses` with a wildcard (0.0.0.0, ::) replaced by the addresses of this machine."""
    expanded: list[str] = []
    for address in addresses:
        _, host, _ = parse_listen(address)
        wildcard = host in ("0.0.0.0", "::")
        found = expand_wildcard_address(multiaddr.Multiaddr(address)) if wildcard else [address]
        expanded += [str(one) for one in found]
    return tuple(dict.fromkeys(expanded))


def write_addresses(path: Path, addresses: Sequence[str]) -> bool:
    """Write the node's full addresses to `path`, one a line, whole or not at all; return whether it could.

    Others on this machine read the file. A node that cannot write it, on a full disk say, goes on without.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_text("".join(f"{address}\n" for address in addresses), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        return False
    return True
