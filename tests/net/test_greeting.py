# SPDX-License-Identifier: GPL-3.0-or-later
"""Introductions between real hosts: an account is believed from the peer that it signed for, for a while."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from net_peers import connected, transport, until

from node.endpoint import MarketEndpoint
from node.greeting import LONGEST_LIFE, Greeter, Profile
from node.net import Transport
from protocol.errors import ProofmeshError
from protocol.messages import Hello
from protocol.signing import Account
from protocol.structs import Introduction, Network

NETWORK = Network(chain_id=31_337, escrow=b"\xee" * 20)
NOW = 1_800_000_000
VERIFIER, MALLORY = Account(b"\x01" * 32), Account(b"\x02" * 32)


class Peer:
    """A node that greets, and what it was told of others."""

    def __init__(self, node: Transport, account: Account | None, roles: tuple[str, ...]) -> None:
        self.node = node
        self.fee = 5
        self.now = NOW
        self.heard: list[Hello] = []
        self.gone: list[Hello] = []
        self.endpoint = MarketEndpoint(NETWORK, node)
        profile = Profile(roles, account, lambda: self.fee)
        self.greeter = Greeter(NETWORK, node, self.endpoint, profile, lambda: self.now, self._heard, self._gone)

    def _heard(self, peer: str, hello: Hello) -> None:
        self.heard.append(hello)

    def _gone(self, peer: str, hello: Hello) -> None:
        self.gone.append(hello)


@asynccontextmanager
async def greeting(
    *bootstrap: str, account: Account | None = None, roles: tuple[str, ...] = ("client",), greets: bool = True
) -> AsyncIterator[Peer]:
    async with transport(*bootstrap) as node, trio.open_nursery() as nursery:
        peer = Peer(node, account, roles)
        if greets:
            nursery.start_soon(peer.greeter.run)
        yield peer
        nursery.cancel_scope.cancel()


def score(of: Peer, peer: Peer) -> float:
    return of.node.standings.of(peer.node.peer_id).score_at(trio.current_time())


async def test_a_verifier_is_heard_with_its_account_and_again_when_its_fee_changes() -> None:
    async with greeting(account=VERIFIER, roles=("verifier",)) as one, greeting(one.node.addresses[0]) as two:
        await until(lambda: two.heard and one.heard)
        assert [(hello.account, hello.least_fee) for hello in two.heard] == [(VERIFIER.address, 5)]
        assert not any(one.heard[0].account) and one.heard[0].signature is None
        one.fee = 7
        answer = await two.endpoint.send(one.node.peer_id, two.greeter.hello())
        assert isinstance(answer, Hello) and answer.least_fee == 7
        assert answer.account == VERIFIER.address


async def test_an_introduction_is_signed_anew_only_when_it_changes_or_grows_old() -> None:
    async with greeting(account=VERIFIER, roles=("verifier",), greets=False) as peer:
        first = peer.greeter.hello()
        peer.now += LONGEST_LIFE // 2
        assert peer.greeter.hello() == first
        peer.now += 1
        renewed = peer.greeter.hello()
        assert renewed.issued_at == peer.now and renewed.signature != first.signature


def in_the_name_of_another(peer: str, honest: Hello) -> Hello:
    """Signed by the liar itself."""
    terms = honest.introduction(peer)
    fields = {name: getattr(honest, name) for name in Hello.model_fields}
    return Hello.model_validate({**fields, "signature": MALLORY.sign(NETWORK, terms)})


def repeated(peer: str, honest: Hello) -> Hello:
    """Another peer's word for word."""
    return honest


def cheaper(peer: str, honest: Hello) -> Hello:
    """The honest one, with another fee under the same signature."""
    fields = {name: getattr(honest, name) for name in Hello.model_fields}
    return Hello.model_validate({**fields, "least_fee": 0})


@pytest.mark.parametrize("forge", [in_the_name_of_another, repeated, cheaper])
async def test_a_forged_introduction_is_refused_and_costs_score(forge: Callable[[str, Hello], Hello]) -> None:
    async with (
        greeting(greets=False) as victim,
        greeting(victim.node.addresses[0], account=VERIFIER, roles=("verifier",)) as honest,
        greeting(victim.node.addresses[0], greets=False) as liar,
    ):
        await until(lambda: len(victim.heard) == 1 and liar.node.peer_id in connected(victim.node))
        with pytest.raises(ProofmeshError):
            await liar.endpoint.send(victim.node.peer_id, forge(liar.node.peer_id, honest.greeter.hello()))
        await until(lambda: score(victim, liar) < 0)
        assert score(victim, honest) == 0
        assert victim.greeter.known.keys() == {honest.node.peer_id}


async def test_a_forged_introduction_in_an_answer_costs_score_too() -> None:
    async with greeting(account=MALLORY, roles=("verifier",), greets=False) as liar:
        honest = liar.greeter.hello()
        liar.greeter.hello = lambda: in_the_name_of_another(  # type: ignore[method-assign]
            liar.node.peer_id, Hello.model_validate({**dict(honest), "account": VERIFIER.address})
        )
        async with greeting(liar.node.addresses[0]) as victim:
            await until(lambda: score(victim, liar) < 0)
            assert victim.heard == []


async def test_an_introduction_of_another_time_is_ignored_and_one_that_ends_is_forgotten() -> None:
    async with (
        greeting(account=VERIFIER, roles=("verifier",), greets=False) as old,
        greeting(old.node.addresses[0]) as peer,
    ):
        await until(lambda: peer.heard)
        old.now -= 10 * LONGEST_LIFE
        peer.now += LONGEST_LIFE + 1
        await until(lambda: peer.gone)
        terms = old.greeter.hello()
        assert isinstance(terms.introduction(old.node.peer_id), Introduction)
        await peer.endpoint.send(old.node.peer_id, peer.greeter.hello())
        assert len(peer.heard) == 1 and peer.greeter.known == {}
        assert score(peer, old) == 0
