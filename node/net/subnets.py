# SPDX-License-Identifier: GPL-3.0-or-later
"""Which addresses count as one neighbourhood: an IPv4 /24, an IPv6 /48; what is exempt has none."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

IPV4_PREFIX = 24
IPV6_PREFIX = 48  # what one customer of a provider usually gets

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(texts: Sequence[str]) -> tuple[IpNetwork, ...]:
    """Return networks in CIDR notation.

    Raises:
        ValueError: one of them is not.
    """
    return tuple(ipaddress.ip_network(text) for text in texts)


def subnet_of(host: str, exempt: Sequence[IpNetwork] = ()) -> str | None:
    """Return the subnet of an IP address, None for an exempt one; all that is no address is one subnet."""
    try:
        address = ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in network for network in exempt if network.version == address.version):
        return None
    prefix = IPV4_PREFIX if address.version == 4 else IPV6_PREFIX
    return str(ipaddress.ip_network((address, prefix), strict=False))


def host_in(multiaddress: str) -> str:
    """Return the host of a text such as /ip4/192.0.2.1/tcp/4001/p2p/..., empty if there is none."""
    parts = multiaddress.split("/")
    return parts[2] if len(parts) > 2 and parts[1] in ("ip4", "ip6", "dns", "dns4", "dns6") else ""


def is_public(host: str) -> bool:
    """Say whether a host is an address of the public internet; a name counts as one."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return bool(host)
