# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's own entry in the chain's directory costs gas once, not at each look."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from contracts.directory import MAX_ADDRESSES, addresses_in, announcement
from contracts.events import Announced
from node.directory import ChainDirectory
from node.net.identity import fresh

ACCOUNT, ESCROW = b"\x07" * 20, b"\xee" * 20
RELAY, OWN = fresh().peer_id, fresh().peer_id


class Chain:
    """The directory's events of one account."""

    account_address = ACCOUNT

    def __init__(self) -> None:
        self.client = self
        self.ledger = SimpleNamespace(balance=lambda account: 0)
        self.said: list[tuple[Any, Announced]] = []

    async def header(self, block: str) -> None:
        return None

    async def announced(self, first_block: int) -> list[tuple[Any, Announced]]:
        return self.said

    async def announce(self, addresses: list[str], key: str) -> None:
        entry = SimpleNamespace(transaction_hash=bytes([len(self.said)]) * 32)
        self.said.append((entry, Announced(ESCROW, ACCOUNT, announcement(addresses))))


def node(chain: Chain, addresses: list[str]) -> ChainDirectory:
    transport = SimpleNamespace(lasting_addresses=tuple(addresses), peer_id=OWN, book=None)
    return ChainDirectory(cast(Any, chain), cast(Any, transport), announces=True)


@pytest.mark.parametrize("count", [1, MAX_ADDRESSES, MAX_ADDRESSES + 4])
@pytest.mark.parametrize(
    "form", ["/ip4/192.0.2.{}/tcp/4001/p2p/" + OWN, "/ip4/192.0.2.{}/tcp/1/p2p/" + RELAY + "/p2p-circuit/p2p/" + OWN]
)
async def test_addresses_that_do_not_all_fit_are_announced_once(count: int, form: str) -> None:
    chain = Chain()
    addresses = [form.format(number) for number in range(count)]
    directory = node(chain, addresses)
    for _ in range(3):
        await directory.look()
        await directory._announce()
    (said,) = [event.addresses for _, event in chain.said]
    found = addresses_in(said)
    assert 0 < len(found) <= count and list(found) == addresses[: len(found)]
    nowhere = node(chain, ["/p2p/" + OWN])  # it cannot be dialled
    await nowhere.look()
    await nowhere._announce()
    assert len(chain.said) == 1
