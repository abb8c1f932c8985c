# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation of gossiped orders, cheapest check first, before anything is stored or forwarded.

Order of checks: size, canonical form, network, freshness, signature, rate per account, funding (rate
per peer is the transport's). The rate comes after the signature, or a stranger could use up another
account's share. What depends on chain state (funding) is ignored and never punished: a forwarder may
simply know a newer block. Funding comes from the follower's ledger, never from a call per message.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from node.ledger import Ledger
from node.net import Verdict
from protocol import codec
from protocol.eip712 import addresses_hash, digest
from protocol.errors import SignatureError, WireError
from protocol.messages import SIZE_CAPS, OrderAnnouncement
from protocol.signing import require_signed_by
from protocol.structs import REQUEST_FOR_QUOTES, Announcement, Network

CLOCK_SKEW = 30
"""Seconds that an announcement may come from the future."""
LONGEST_LIFE = 600
"""Seconds that an announcement may live."""
ORDERS_PER_MINUTE = 120
"""Announcements that one account may publish a minute."""
TRACKED_ACCOUNTS = 4_096


class OrderGossip:
    """Decides which announcements are forwarded and handed to the prover."""

    def __init__(self, network: Network, ledger: Ledger, now: Callable[[], int]) -> None:
        self._network = network
        self._ledger = ledger
        self._now = now
        self._minutes: OrderedDict[bytes, tuple[int, int]] = OrderedDict()

    def validate(self, data: bytes, forwarder: str) -> Verdict:
        """Return what to do with a gossip message; cheap, and raises nothing."""
        if len(data) > SIZE_CAPS["order"]:
            return Verdict.REJECT
        try:
            message = codec.decode(data)
        except WireError:
            return Verdict.REJECT
        if not isinstance(message, OrderAnnouncement) or message.network != self._network:
            return Verdict.REJECT
        if not self._fresh(message) or not message.addresses:
            return Verdict.IGNORE
        if not self._signed(message):
            return Verdict.REJECT
        if not self._within_rate(message.order.client):
            return Verdict.IGNORE
        return Verdict.ACCEPT if self._funded(message) else Verdict.IGNORE

    def _fresh(self, message: OrderAnnouncement) -> bool:
        now = self._now() // 10**9
        return (
            message.issued_at <= now + CLOCK_SKEW
            and now <= message.expires_at <= message.issued_at + LONGEST_LIFE
            and now <= message.order.promise_by <= message.order.final_by
            and message.order.kind == REQUEST_FOR_QUOTES
        )

    def _within_rate(self, account: bytes) -> bool:
        minute = self._now() // (60 * 10**9)
        known, count = self._minutes.get(account, (minute, 0))
        count = count + 1 if known == minute else 1
        self._minutes[account] = (minute, count)
        self._minutes.move_to_end(account)
        if len(self._minutes) > TRACKED_ACCOUNTS:
            self._minutes.popitem(last=False)
        return count <= ORDERS_PER_MINUTE

    def _signed(self, message: OrderAnnouncement) -> bool:
        announcement = Announcement(
            order_hash=digest(self._network, message.order),
            addresses_hash=addresses_hash(message.addresses),
            issued_at=message.issued_at,
            expires_at=message.expires_at,
        )
        try:
            require_signed_by(message.order.client, self._network, announcement, message.signature)
        except SignatureError:
            return False
        return True

    def _funded(self, message: OrderAnnouncement) -> bool:
        """The deposit covers the floor; the prover's preflight looks at the exact sums."""
        return (
            self._ledger.balance(message.order.client) > 0
            or self._ledger.lock_of(digest(self._network, message.order)) is not None
        )
