# SPDX-License-Identifier: GPL-3.0-or-later
"""What peers say of other peers: worth a dial, not a scan of this node's own network, and passed on only if true."""

from __future__ import annotations

import trio
from net_peers import connected, transport, until

from node.net import Transport
from node.net.identity import fresh
from node.net.peerbook import Origin
from node.net.subnets import is_public


def at(host: str, port: int = 4001) -> str:
    return f"/ip4/{host}/tcp/{port}/p2p/{fresh().peer_id}"


def known(node: Transport) -> set[str]:
    return {contact.address for contact in node.book.contacts()}


async def test_a_strangers_word_leads_into_no_private_network() -> None:
    async with transport() as node:
        stranger, neighbour = fresh().peer_id, fresh().peer_id
        node.book.learn(stranger, f"/ip4/8.8.8.8/tcp/1/p2p/{stranger}", Origin.MET)
        node.book.learn(neighbour, f"/ip4/127.0.0.1/tcp/1/p2p/{neighbour}", Origin.MET)
        before = known(node)
        for host in ("127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "172.16.0.1"):
            assert not is_public(host)
            node.hear_of(at(host), stranger)
        node.hear_of(f"/p2p/{fresh().peer_id}", stranger)
        assert known(node) == before
        public, private = at("9.9.9.9"), at("127.0.0.1")
        node.hear_of(public, stranger)
        node.hear_of(private, neighbour)  # who is in there already may speak of it
        assert known(node) == before | {public, private}


async def test_hearsay_that_is_no_address_costs_score_and_none_moves_a_known_peer() -> None:
    async with transport() as node, transport(node.addresses[0]) as liar, transport(node.addresses[0]) as honest:
        await until(lambda: node.door.seated == 2)
        node.introduced(honest.peer_id, honest.addresses[0])
        node.hear_of(f"/ip4/127.0.0.1/tcp/9/p2p/{honest.peer_id}", liar.peer_id)
        assert node.book.address_of(honest.peer_id) == honest.addresses[0]
        node.hear_of("/ip4/127.0.0.1/tcp/9/p2p/nobody", liar.peer_id)
        assert node.standings.of(liar.peer_id).score_at(trio.current_time()) < 0


async def test_an_address_is_passed_on_only_if_it_was_found_true() -> None:
    async with transport() as node, transport(node.addresses[0]) as one, transport(node.addresses[0]) as two:
        await until(lambda: node.door.seated == 2)
        node.introduced(one.peer_id, f"/ip4/192.0.2.1/tcp/1/p2p/{one.peer_id}")  # it does not come from there
        node.introduced(two.peer_id, two.addresses[0])
        assert node.peers_to_share(10) == (two.addresses[0],)
        node.introduced(one.peer_id, f"/ip4/192.0.2.1/tcp/1/p2p/{two.peer_id}")
        assert node.peers_to_share(10) == (two.addresses[0],)


async def test_newcomers_find_each_other_by_one_common_peer() -> None:
    async with transport() as node, transport(node.addresses[0]) as one, transport(node.addresses[0]) as two:
        await until(lambda: node.door.seated == 2)
        for peer in (one, two):
            node.introduced(peer.peer_id, peer.addresses[0])
        (address,) = set(node.peers_to_share(10)) - {two.addresses[0]}
        two.hear_of(address, node.peer_id)
        await until(lambda: one.peer_id in connected(two))
