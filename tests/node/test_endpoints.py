# SPDX-License-Identifier: GPL-3.0-or-later
"""Several RPC endpoints in front of one real chain, some of which fail or lie: what is followed stays the chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from anvil_process import FUNDED, QUICK, Chain, tiny_chain, transact
from rpc_proxy import (
    Fault,
    Proxy,
    claiming,
    forking,
    lagging,
    made_up_logs,
    narrow,
    other_chain,
    proxy,
    without_logs,
)
from structlog.testing import capture_logs

from node.chain.bloom import bloom_of, may_contain
from node.chain.client import ChainClient
from node.chain.clock import ChainClock
from node.chain.endpoints import Endpoints
from node.chain.follower import WINDOW, Follower, Undone
from node.chain.records import Call, Log, hex_of
from node.chain.rpc import RpcClient
from node.chain.store import Block, BlockStore, TransactionStore
from node.chain.transactions import TransactionSender
from node.journal import Journal
from protocol.errors import ChainError, RpcDownError, RpcMalformedError, RpcRefusedError, WrongChainError


@dataclass
class World:
    """A chain, proxies in front of it, and a client of all of them."""

    chain: Chain
    proxies: list[Proxy]
    client: ChainClient
    folder: Path

    async def emit(self, data: bytes) -> None:
        request = {"from": hex_of(FUNDED.address), "to": hex_of(self.chain.contract), "data": hex_of(data)}
        await transact(self.chain.client.rpc, request)

    def follower(self, clock: ChainClock | None = None) -> Follower:
        store = BlockStore(Journal(self.folder / "journal"), window=WINDOW)
        return Follower(self.client, [self.chain.contract], store, chain_id=31337, poll_s=0.02, clock=clock)


@asynccontextmanager
async def world(folder: Path, count: int = 2, **options: object) -> AsyncIterator[World]:
    async with tiny_chain(folder) as chain, trio.open_nursery() as nursery:
        proxies: list[Proxy] = []

        async def run(ready: trio.Event) -> None:
            async with proxy(chain.url) as running:
                proxies.append(running)
                ready.set()
                await trio.sleep_forever()

        for _ in range(count):
            ready = trio.Event()
            nursery.start_soon(run, ready)
            await ready.wait()
        clients = [RpcClient(each.url, attempts=1, timeout_s=5.0) for each in proxies]
        async with Endpoints(clients, 31337, ask_s=1.0, **options) as endpoints:  # type: ignore[arg-type]
            yield World(chain, proxies, ChainClient(endpoints), folder)
        nursery.cancel_scope.cancel()


class Followed:
    """The chain as the follower told it."""

    def __init__(self) -> None:
        self.chain: list[Block] = []
        self.undone = 0

    async def __call__(self, event: Block | Undone) -> None:
        if isinstance(event, Undone):
            assert self.chain.pop() == event.block
            self.undone += 1
        else:
            self.chain.append(event)

    @property
    def data(self) -> list[bytes]:
        return [log.data for block in self.chain for log in block.logs]


async def follow_to(world: World, follower: Follower, record: Followed, number: int | None = None) -> None:
    """Step until the follower is at the true head; errors of a step are tried again as `run` does."""
    truth = await world.chain.client.header(number if number is not None else "latest")
    assert truth is not None
    with trio.fail_after(30):
        while truth.hash not in [block.hash for block in record.chain]:
            try:
                await follower.step(record)
            except ChainError:
                await trio.sleep(0.02)


def broken(mode: str) -> Fault | None:
    return {"lags": lagging(2), "another chain": other_chain(5), "drops logs": without_logs()}.get(mode)


@pytest.mark.parametrize("mode", ["down", "cut", "silent", "garbage", "lags", "another chain", "drops logs"])
async def test_the_chain_is_followed_and_written_to_while_the_first_endpoint_is_broken(
    tmp_path: Path, mode: str
) -> None:
    async with world(tmp_path) as w:
        first = w.proxies[0]
        first.cut, first.silent, first.garbage = mode in ("cut", "down"), mode == "silent", mode == "garbage"
        first.fault = broken(mode)
        store = TransactionStore(Journal(tmp_path / "sent"))
        sender = TransactionSender(w.client, FUNDED, 31337, store, QUICK)
        record, follower = Followed(), w.follower()
        assert (await sender.send("a", Call(w.chain.contract, b"one"))).succeeded
        await w.chain.mine(2)
        await follow_to(w, follower, record, 2)  # one that lags by two has no more to say
        assert record.data == [b"one"]
        # It recovers: now the other one breaks.
        first.cut = first.silent = first.garbage = False
        first.fault = None
        w.proxies[1].cut = True
        for endpoint in w.client.rpc.all:
            endpoint.retry_at = float("-inf")
        await w.emit(b"two")
        await follow_to(w, follower, record)
        assert record.data == [b"one", b"two"] and record.undone == 0


async def test_an_rpc_that_lies_about_the_head_is_not_followed_and_holds_nobody_up(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        record, clock = Followed(), ChainClock()
        follower = w.follower(clock)
        w.proxies[0].fault = claiming(50)
        for data in (b"one", b"two"):
            await w.emit(data)
            await follow_to(w, follower, record)
        assert record.data == [b"one", b"two"] and record.undone == 0


async def test_an_rpc_whose_head_lies_in_the_future_is_not_asked(tmp_path: Path) -> None:
    async def future(method: str, params: list[object], forward: object) -> object:
        found = await forward(method, params)  # type: ignore[operator]
        if method == "eth_getBlockByNumber" and found:
            found = {**found, "timestamp": hex(int(found["timestamp"], 16) + 10_000)}
        return found

    async with world(tmp_path) as w:
        w.proxies[0].fault = future
        record, clock = Followed(), ChainClock()
        await w.emit(b"one")
        await follow_to(w, w.follower(clock), record)
        assert abs(clock.seconds() - record.chain[-1].timestamp) < 100


async def test_who_disagrees_on_a_block_is_not_asked_until_it_agrees_again(tmp_path: Path) -> None:
    async with world(tmp_path, 3) as w:
        record, follower = Followed(), w.follower()
        await w.chain.mine(5)
        await follow_to(w, follower, record)
        w.proxies[0].fault = forking(3)
        await w.emit(b"one")
        with capture_logs() as logs:
            await follow_to(w, follower, record)
        assert record.undone == 0 and record.data == [b"one"]
        assert [each["name"] for each in w.client.rpc.report() if each["disagrees"]] == ["rpc 1"]
        assert "s3cret" not in str(logs) and "disagrees" in str(logs)
        before = len(w.proxies[0].asked)
        assert await w.client.balance(FUNDED.address) > 0
        assert len(w.proxies[0].asked) == before
        w.proxies[0].fault = None
        await follower.step(record)
        assert not any(endpoint.disagrees for endpoint in w.client.rpc.all)


async def test_in_a_tie_the_endpoint_that_is_listed_first_is_believed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        record, follower = Followed(), w.follower()
        await w.chain.mine(5)
        await follow_to(w, follower, record)
        w.proxies[1].fault = forking(3)
        await w.emit(b"one")
        await follow_to(w, follower, record)
        assert record.undone == 0 and [e.disagrees for e in w.client.rpc.all] == [False, True]


async def test_an_endpoint_that_is_syncing_holds_nobody_up(tmp_path: Path) -> None:
    # By a wall clock far ahead of the chain's blocks every old head is stale.
    async with world(tmp_path) as w:
        await w.chain.mine(30)
        w.proxies[1].fault = lagging(20)
        record, follower = Followed(), w.follower()
        await follow_to(w, follower, record, 11)
        assert len(record.chain) <= 12
        head = await w.chain.client.header()
        assert head is not None
        w.client.rpc.wall_s = lambda: head.timestamp + 100.0
        await follow_to(w, follower, record)
        assert record.undone == 0


async def test_a_reorg_that_all_endpoints_see_is_followed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        record, follower = Followed(), w.follower()
        await w.chain.mine(3)
        await w.emit(b"gone")
        await follow_to(w, follower, record)
        await w.chain.client.rpc.call("anvil_reorg", 3, [])
        await follow_to(w, follower, record)
        assert record.undone == 3 and record.data == []


@pytest.mark.parametrize("receipts", [True, False])
async def test_logs_that_an_rpc_leaves_out_are_found_at_another_or_in_the_receipts(
    tmp_path: Path, receipts: bool
) -> None:
    async with world(tmp_path, 3) as w:
        w.proxies[0].fault = without_logs(receipts=receipts)
        if not receipts:

            async def no_receipts(method: str, params: list[object], forward: object) -> object:
                answer = without_logs(receipts=False) if method == "eth_getBlockReceipts" else None
                return await (answer(method, params, forward) if answer else forward(method, params))  # type: ignore

            w.proxies[1].fault = w.proxies[2].fault = no_receipts
        record = Followed()
        await w.emit(b"paid")
        await follow_to(w, w.follower(), record)
        assert record.data == [b"paid"]


async def test_logs_left_out_by_the_only_rpc_are_found_in_its_receipts(tmp_path: Path) -> None:
    async with world(tmp_path, 1) as w:
        w.proxies[0].fault = without_logs()
        record = Followed()
        await w.emit(b"paid")
        await follow_to(w, w.follower(), record)
        assert record.data == [b"paid"]


@pytest.mark.parametrize("count", [1, 2])
async def test_a_payment_that_an_rpc_makes_up_is_not_believed(tmp_path: Path, count: int) -> None:
    async with world(tmp_path, count) as w:
        w.proxies[0].fault = made_up_logs()
        record = Followed()
        await w.emit(b"true")
        await follow_to(w, w.follower(), record)
        assert record.data == [b"true"]


async def test_logs_that_no_endpoint_can_vouch_for_are_an_error(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for each in w.proxies:
            each.fault = without_logs(receipts=False)
        await w.emit(b"paid")
        header = await w.chain.client.header()
        assert header is not None

        async def honest_logs(method: str, params: list[object], forward: object) -> object:
            if method == "eth_getBlockReceipts":
                return None
            return await forward(method, params)  # type: ignore[operator]

        w.proxies[1].fault = honest_logs
        with pytest.raises(RpcMalformedError, match="fit its header"):
            await w.client.logs([header], [w.chain.contract])


async def test_a_range_of_logs_is_halved_until_the_rpc_gives_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for n in range(6):
            await w.emit(bytes([n]))
            await w.chain.mine(4)
        for each in w.proxies:
            each.fault = narrow(3)
        found = await w.client.past_logs({"address": hex_of(w.chain.contract)}, 0)
        assert [log.data for log in found] == [bytes([n]) for n in range(6)]
        for each in w.proxies:
            each.fault = narrow(0)
        with pytest.raises(RpcRefusedError):
            await w.client.past_logs({"address": hex_of(w.chain.contract)}, 0)


async def test_a_transaction_is_given_to_all_endpoints(tmp_path: Path) -> None:
    async with world(tmp_path) as w:

        async def swallow(method: str, params: list[object], forward: object) -> object:
            return "0x" + "22" * 32 if method == "eth_sendRawTransaction" else await forward(method, params)  # type: ignore

        w.proxies[0].fault = swallow
        store = TransactionStore(Journal(tmp_path / "sent"))
        sender = TransactionSender(w.client, FUNDED, 31337, store, QUICK)
        assert (await sender.send("a", Call(w.chain.contract, b"hello"))).succeeded


async def test_when_all_fail_the_error_is_one_and_names_no_address(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for each in w.proxies:
            each.cut = True
        with capture_logs() as logs, pytest.raises(RpcDownError) as caught:
            await w.client.balance(FUNDED.address)
        assert "s3cret" not in str(caught.value) + str(logs)
        for each in w.proxies:
            each.cut, each.fault = False, other_chain(5)
        with pytest.raises(WrongChainError):
            await w.client.balance(FUNDED.address)


def test_a_filter_contains_what_it_was_made_of_and_says_no_to_most_else() -> None:
    logs = [Log(bytes([n]) * 20, (bytes([n]) * 32,), b"", 1, bytes(32), bytes(32), n) for n in range(1, 5)]
    bloom = bloom_of(logs)
    assert all(may_contain(bloom, log.address) and may_contain(bloom, log.topics[0]) for log in logs)
    assert sum(may_contain(bloom, bytes([n]) * 20) for n in range(100, 200)) < 5
    assert bloom_of([]) == bytes(256)
