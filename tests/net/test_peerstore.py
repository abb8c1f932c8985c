# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers and bans over restarts; a hostile or damaged file is put aside."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import trio
from net_peers import LOOPBACK, QUICK, attacker, connected, transport, until

from node.net import Limits, Transport
from node.net.identity import fresh
from node.net.peerbook import Origin, PeerBook
from node.net.peerstore import LONGEST_ABSENCE, MAX_BYTES, MAX_PEERS, PEER_FILE, PeerMemory, read
from node.net.standing import Standings
from protocol.errors import PeerStoreError

NOW = 1_800_000_000.0


def memory(path: Path, wall: float = NOW, limits: Limits = QUICK) -> tuple[PeerMemory, PeerBook, Standings]:
    book, standings = PeerBook(limits), Standings(limits)
    return PeerMemory(path, limits, book, standings, lambda: wall), book, standings


def remember(path: Path, *, wall: float = NOW, peers: int = 1) -> list[str]:
    """Write a file about connected peers, the first of which is banned."""
    kept, book, standings = memory(path, wall)
    ids = [fresh().peer_id for _ in range(peers)]
    for peer in ids:
        book.learn(peer, f"/ip4/192.0.2.1/tcp/4001/p2p/{peer}", Origin.MET)
    book.learn("hearsay", "/ip4/192.0.2.9/tcp/1/p2p/hearsay", Origin.HEARSAY, source="x")
    standings.of(ids[0]).penalise(1000, 0.0)
    kept.keep(frozenset(ids), 10.0)
    return ids


async def test_a_restarted_node_finds_its_peers_and_keeps_its_bans(tmp_path: Path) -> None:
    path, identity = tmp_path / PEER_FILE, fresh()
    async with transport() as friend:
        first = Transport(identity, [LOOPBACK], limits=QUICK, network_tag="test", peer_file=path)
        async with first.running():
            await first.connect(friend.addresses[0])
            async with attacker(first) as hostile:
                first.penalise(hostile.peer_id, "test", 1000)
                await until(lambda: hostile.peer_id not in connected(first))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        second = Transport(identity, [LOOPBACK], limits=QUICK, network_tag="test", peer_file=path)
        async with second.running():
            await until(lambda: friend.peer_id in connected(second))
            assert second.standings.of(hostile.peer_id).banned(trio.current_time())


def test_a_ban_goes_on_ends_and_doubles_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / PEER_FILE
    (peer,) = remember(path)
    for wall, banned in ((NOW + 49, True), (NOW + 51, False), (NOW - 10**6, True)):
        kept, _, standings = memory(path, wall)
        kept.recall("me", 5.0)
        assert standings.of(peer).banned(5.0) == banned
        assert not standings.of(peer).banned(5.0 + QUICK.ban_longest)  # also when the clock was set back
    standings.of(peer).penalise(1000, 1e6)
    assert standings.of(peer).banned(1e6 + 119) and not standings.of(peer).banned(1e6 + 120)


def test_hearsay_and_long_absent_peers_are_not_taken_up(tmp_path: Path) -> None:
    path = tmp_path / PEER_FILE
    ids = remember(path, peers=2)
    kept, book, _ = memory(path, NOW + LONGEST_ABSENCE - 1)
    kept.recall(ids[0], 0.0)
    assert [contact.peer for contact in book.contacts()] == [ids[1]]  # not ourselves either
    kept, book, _ = memory(path, NOW + LONGEST_ABSENCE + 1)
    kept.recall("me", 0.0)
    assert book.contacts() == ()


def test_the_file_is_bounded(tmp_path: Path) -> None:
    path, limits = tmp_path / PEER_FILE, Limits(contacts=2 * MAX_PEERS)
    kept, book, standings = memory(path, limits=limits)
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    ids = [alphabet[n // 58] * 20 + alphabet[n % 58] * 20 for n in range(MAX_PEERS + 50)]
    for peer in ids:
        book.learn(peer, f"/ip4/192.0.2.1/tcp/4001/p2p/{peer}", Origin.MET)
        standings.of(peer).penalise(1, 0.0)
    kept.keep(frozenset(ids), 0.0)
    stored = json.loads(path.read_text())
    assert len(stored["contacts"]) == len(stored["standings"]) == MAX_PEERS
    assert path.stat().st_size < MAX_BYTES


PEER = fresh().peer_id
GOOD: dict[str, Any] = {
    "version": 1,
    "contacts": [{"peer": PEER, "address": f"/ip4/192.0.2.1/tcp/1/p2p/{PEER}", "seen_at": 5}],
    "standings": [{"peer": PEER, "score": -5.0, "banned_until": 9, "bans": 1}],
}


def spoilt(part: str, **changes: object) -> bytes:
    return json.dumps({**GOOD, part: [{**GOOD[part][0], **changes}]}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"{}",
        b"[" * 5_000,
        b'{"version": 2, "contacts": [], "standings": []}',
        json.dumps({**GOOD, "more": 1}).encode(),
        json.dumps({**GOOD, "contacts": GOOD["contacts"] * (MAX_PEERS + 1)}).encode(),
        spoilt("contacts", address="/ip4/192.0.2.1/tcp/1/p2p/" + fresh().peer_id),
        spoilt("contacts", address="/unix/etc"),
        spoilt("contacts", peer="../../etc"),
        spoilt("contacts", seen_at=-1),
        spoilt("contacts", seen_at=True),
        spoilt("standings", score=1.0),
        spoilt("standings", score=float("nan")),
        spoilt("standings", bans=10**30),
        spoilt("standings", banned_until="soon"),
        b" " * (MAX_BYTES + 1),
    ],
)
def test_a_hostile_file_is_refused_and_put_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / PEER_FILE
    path.write_bytes(content)
    with pytest.raises(PeerStoreError):
        read(path)
    kept, book, standings = memory(path)
    kept.recall("me", 0.0)
    assert book.contacts() == () and not standings.remembered(0.0)
    assert not path.exists() and path.with_suffix(".refused").read_bytes() == content


def test_a_good_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / PEER_FILE).write_text(json.dumps(GOOD))
    assert read(tmp_path / PEER_FILE).contacts[0].peer == PEER


def test_a_disk_that_takes_nothing_costs_the_memory_alone(tmp_path: Path) -> None:
    kept, _, _ = memory(tmp_path / "missing" / PEER_FILE)
    kept.keep(frozenset(), 0.0)
