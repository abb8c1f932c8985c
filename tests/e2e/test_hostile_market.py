# SPDX-License-Identifier: GPL-3.0-or-later
"""A hostile peer says what it likes to running daemons: it is refused with a code, and they go on serving."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest
import trio
from devnet_market import (
    HANG_GUARD,
    SECRET,
    account_of,
    bundle_folder,
    chain_of,
    client_of,
    log_of,
    prove_one,
    request,
    settlements,
    until,
)
from devnet_thread import Market
from market_stranger import Stranger, stranger

from market import refusals
from node.devnet.world import World
from node.endpoint import RefusedError
from protocol import codec
from protocol.codec import pack
from protocol.eip712 import digest
from protocol.errors import PeerRefusedError, ProofmeshError
from protocol.messages import AwardMessage, Hello, ProofMessage, Refusal, SealedInput
from protocol.signing import Account
from protocol.structs import Bid, Network

pytestmark = pytest.mark.slow

Attack = Callable[[Stranger], Awaitable[None]]
DAEMONS = ("prover-1", "verifier-1", "publisher")


@pytest.fixture(scope="module", autouse=True)
def serves_afterwards(market: Market) -> Iterator[None]:
    """After all attacks an ordinary job is served, by the processes that were attacked."""
    before = {name: market.world.devnet.node(name).node_pid for name in DAEMONS}
    yield
    market.run(prove_one)
    assert {name: market.world.devnet.node(name).node_pid for name in DAEMONS} == before
    for name in DAEMONS:
        assert market.world.processes[name].poll() is None
        assert "network host died" not in log_of(market.world, name)


def _attack(market: Market, attack: Attack) -> None:
    async def scenario(world: World) -> None:
        with trio.fail_after(HANG_GUARD):
            async with stranger(world) as hostile:
                await attack(hostile)

    market.run(scenario)


def _hello(network: Network) -> Hello:
    return Hello(
        network=network,
        roles=(),
        account=bytes(20),
        least_fee=0,
        addresses=(),
        peers=(),
        issued_at=0,
        expires_at=0,
    )


@pytest.mark.parametrize("daemon", DAEMONS)
def test_garbage_is_refused(market: Market, daemon: str) -> None:
    async def attack(hostile: Stranger) -> None:
        good = codec.encode(_hello(hostile.network))
        garbage = [b"", b"\x00", secrets.token_bytes(200), good[:-1], good + b"\x00", pack({"kind": "hello"})]
        garbage += [pack([1]), good.replace(b"hello", b"jello"), b"\x93" * 5_000]
        for data in garbage:
            answer = await hostile.raw(daemon, data)
            assert isinstance(answer, Refusal) and answer.terms.code.startswith("PM-WIRE-")
        await hostile.raw(daemon, good)

    _attack(market, attack)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_message_of_another_network_is_refused(market: Market, daemon: str) -> None:
    async def attack(hostile: Stranger) -> None:
        for network in (
            Network(chain_id=hostile.network.chain_id + 1, escrow=hostile.network.escrow),
            Network(chain_id=hostile.network.chain_id, escrow=bytes(20)),
        ):
            answer = await hostile.raw(daemon, codec.encode(_hello(network)))
            assert isinstance(answer, Refusal) and answer.terms.code == "PM-WIRE-005"

    _attack(market, attack)


def test_orders_that_are_expired_unsigned_or_unfunded_get_no_bid(market: Market) -> None:
    async def attack(hostile: Stranger) -> None:
        client, poor = hostile.customer(), Account(secrets.token_bytes(32))
        bad = [
            hostile.announcement(hostile.order(client.address), client, age=200, life=100),
            hostile.announcement(hostile.order(client.address), client, age=-1_000),
            hostile.announcement(hostile.order(client.address, promise_by=1, final_by=2), client),
            hostile.announcement(hostile.order(client.address), poor),
            hostile.announcement(hostile.order(poor.address), poor),
        ]
        for message in bad:
            await hostile.publish(message)
        good = hostile.order(client.address)
        while not hostile.bids:
            await hostile.publish(hostile.announcement(good, client))
            await trio.sleep(0.5)
        await hostile.bid_on(good)
        assert {message.bid.order_hash for message in hostile.bids} == {digest(hostile.network, good)}

    _attack(market, attack)


def test_awards_that_do_not_match_the_bid_or_come_twice_are_refused(market: Market) -> None:
    async def attack(hostile: Stranger) -> None:
        client, network = hostile.customer(), hostile.network
        order = hostile.order(client.address)
        while not hostile.bids:
            await hostile.publish(hostile.announcement(order, client))
            await trio.sleep(0.5)
        bid = (await hostile.bid_on(order)).bid

        async def code_of(signer: Account = client, **changes: object) -> str:
            award = hostile.award(bid, **changes)
            message = AwardMessage(network=network, award=award, signature=signer.sign(network, award))
            return await hostile.refused("prover-1", message)

        assert await code_of(price=bid.price - 1) == refusals.AWARD_MISMATCH
        assert await code_of(payout=client.address) == refusals.AWARD_MISMATCH
        assert await code_of(promise_at=bid.promise_at - 1) == refusals.AWARD_MISMATCH
        assert await code_of(bid_hash=bytes(32)) == refusals.BID_UNKNOWN
        assert await code_of(order_hash=bytes(32)) == refusals.BID_UNKNOWN
        with pytest.raises(PeerRefusedError):
            await code_of(Account(secrets.token_bytes(32)))
        assert await code_of() == "taken"
        sealed = SealedInput(
            network=network,
            order_hash=bid.order_hash,
            award_hash=digest(network, hostile.award(bid)),
            ciphertext=secrets.token_bytes(200),
        )
        assert await hostile.refused("prover-1", sealed) == refusals.INPUT_INVALID
        assert await code_of() != "taken"  # the job is over; the same award opens nothing again

    _attack(market, attack)


@pytest.mark.parametrize("changes, code", [
    ({"royalty_bps": 0}, refusals.ROYALTY_MISMATCH),
    ({"model_id": bytes(32)}, refusals.ROYALTY_MISMATCH),
    ({"model_id": b"\x07" * 32}, refusals.MODEL_MISMATCH),
], ids=["another royalty", "no model and a royalty", "another model"])  # fmt: skip
def test_an_award_of_an_order_that_the_escrow_would_not_pay_is_refused(
    market: Market, changes: dict[str, object], code: str
) -> None:
    """The lock of such an order burns the prover's collateral, whatever it proves."""

    async def attack(hostile: Stranger) -> None:
        client = hostile.customer()
        order = hostile.order(client.address, **changes)
        while not hostile.bids:
            await hostile.publish(hostile.announcement(order, client))
            await trio.sleep(0.5)
        award = hostile.award((await hostile.bid_on(order)).bid)
        signature = client.sign(hostile.network, award)
        message = AwardMessage(network=hostile.network, award=award, signature=signature)
        assert await hostile.refused("prover-1", message) == code

    _attack(market, attack)


def test_a_bid_in_the_name_of_another_prover_wins_nothing(market: Market) -> None:
    async def attack(hostile: Stranger) -> None:
        world, mallory = hostile.world, Account(secrets.token_bytes(32))
        async with client_of(world) as client:
            order_hash = await client.submit(bundle_folder(world), SECRET, request(window=2))
            order = client.job(order_hash).order
            message = hostile.bid(order, mallory, order.promise_by, prover=account_of(world, "prover-3"))
            with pytest.raises(PeerRefusedError):
                await hostile.endpoint.send(client.node.context.transport.addresses[0], message)
            receipt = await client.wait(order_hash)
            assert receipt.award.payout != mallory.address
            assert receipt.award.price > 1

    _attack(market, attack)


def test_a_bid_that_another_peer_says_again_is_not_taken(market: Market) -> None:
    """It would draw award and input away from its prover, and break that one's promise."""

    async def attack(hostile: Stranger) -> None:
        world, honest, mallory = hostile.world, Account(secrets.token_bytes(32)), Account(secrets.token_bytes(32))
        async with client_of(world) as client:
            order_hash = await client.submit(bundle_folder(world), SECRET, request(window=2))
            order = client.job(order_hash).order
            message = hostile.bid(order, honest, order.promise_by)
            address = client.node.context.transport.addresses[0]
            await hostile.endpoint.send(address, hostile.introduction(mallory))
            with pytest.raises(RefusedError, match=refusals.NOT_INTRODUCED):
                await hostile.endpoint.send(address, message)
            receipt = await client.wait(order_hash)
            assert receipt.award.prover != honest.address

    _attack(market, attack)


def test_proofs_that_do_not_verify_are_refused_and_their_sender_is_banned(market: Market) -> None:
    async def attack(hostile: Stranger) -> None:
        client, mallory = hostile.customer(), Account(secrets.token_bytes(32))

        def answered(number: int) -> bool:
            # With the fault that begins the ban the peer hears nothing more.
            return len(hostile.refusals) > number or _bans(hostile) > bans

        bans = _bans(hostile)
        for number in range(12):
            message = _forged(hostile, client, mallory, bytes([number]) * 256)
            with suppress(ProofmeshError):  # the ban may cut the answer off
                await hostile.endpoint.send(hostile.address("verifier-1"), message)
            await until(partial(answered, number))
            if _bans(hostile) > bans:
                break
        assert _bans(hostile) == bans + 1
        assert len(hostile.refusals) >= 4
        with pytest.raises(ProofmeshError):
            await hostile.endpoint.send(hostile.address("verifier-1"), _hello(hostile.network))
        assert {refusal.terms.code for refusal in hostile.refusals} == {refusals.PROOF_INVALID}
        assert all(refusal.terms.prover == account_of(hostile.world, "verifier-1") for refusal in hostile.refusals)
        async with chain_of(hostile.world) as chain:
            paid = await settlements(chain)
        assert not {refusal.terms.order_hash for refusal in hostile.refusals} & set(paid)

    _attack(market, attack)


@pytest.mark.parametrize("stalls", [False, True], ids=["bids and vanishes", "wins and stalls"])
def test_a_prover_that_does_not_keep_its_bid_costs_time_alone(market: Market, stalls: bool) -> None:
    async def attack(hostile: Stranger) -> None:
        world, mallory, awards = hostile.world, Account(secrets.token_bytes(32)), list[AwardMessage]()

        async def acknowledge(peer: str, message: AwardMessage | SealedInput) -> None:
            if isinstance(message, AwardMessage):
                awards.append(message)

        if stalls:
            hostile.endpoint.on(AwardMessage, acknowledge)
            hostile.endpoint.on(SealedInput, acknowledge)
        async with client_of(world) as client:
            order_hash = await client.submit(bundle_folder(world), SECRET, request(window=3))
            now = client.node.context.clock.seconds()
            message = hostile.bid(client.job(order_hash).order, mallory, now + 10)
            address = client.node.context.transport.addresses[0]
            # Until it has introduced itself as the bid's prover, anybody might say these words.
            with pytest.raises(RefusedError, match=refusals.NOT_INTRODUCED):
                await hostile.endpoint.send(address, message)
            await hostile.endpoint.send(address, hostile.introduction(mallory))
            await hostile.endpoint.send(address, message)
            receipt = await client.wait(order_hash)
            assert receipt.award.prover != mallory.address and receipt.award.price > 1
            assert bool(awards) == stalls
            assert client.node.client is not None
            struck = client.node.client.shell.state.reputation.get(mallory.address)
            assert (struck is not None and struck.failed == 1) == stalls

    _attack(market, attack)


def _bans(hostile: Stranger) -> int:
    return log_of(hostile.world, "verifier-1").count("peer banned")


def _forged(hostile: Stranger, client: Account, prover: Account, proof: bytes) -> ProofMessage:
    """A funded order with a signed award, and a proof that proves nothing."""
    order = hostile.order(client.address)
    order_hash = digest(hostile.network, order)
    award = hostile.award(
        Bid(
            order_hash=order_hash,
            prover=prover.address,
            payout=prover.address,
            price=1_000,
            promise_at=order.promise_by,
            expires_at=order.promise_by,
            locks=False,
            sealing_key=bytes(32),
        )
    )
    return ProofMessage(
        network=hostile.network,
        order=order,
        award=award,
        award_signature=client.sign(hostile.network, award),
        outputs=(1,),
        proof=proof,
        settler=account_of(hostile.world, "verifier-1"),
    )
