# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a node: a supervised libp2p transport and content-addressed bundle transfer.

`Transport` (service.py) carries bytes and knows nothing of messages; `bundles.py` serves bundles over it, and
`bundle_pull.py` fetches them.
"""

from node.net.bundle_pull import pull
from node.net.bundles import BundleServer
from node.net.gossip import Verdict
from node.net.identity import NetworkIdentity, load_or_create
from node.net.limits import Limits
from node.net.service import PeerSnapshot, Transport

__all__ = [
    "BundleServer",
    "Limits",
    "NetworkIdentity",
    "PeerSnapshot",
    "Transport",
    "Verdict",
    "load_or_create",
    "pull",
]
