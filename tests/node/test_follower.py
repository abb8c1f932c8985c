# SPDX-License-Identifier: GPL-3.0-or-later
"""The follower: every block once, undone when replaced, through outages and restarts."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_contract
import trio
from anvil_process import FUNDED, Chain, tiny_chain, transact

from node.chain.client import ChainClient
from node.chain.clock import ChainClock
from node.chain.follower import WINDOW, Follower, Undone
from node.chain.records import Call, hex_of
from node.chain.rpc import RpcClient
from node.chain.store import Block, BlockStore
from node.devnet.anvil import find_anvil, run_anvil
from node.journal import Journal
from protocol.errors import ReorgTooDeepError, WrongChainError


class Recorder:
    """What a handler was told, and the chain that follows from it."""

    def __init__(self) -> None:
        self.chain: list[Block] = []
        self.undone: list[Block] = []

    async def __call__(self, event: Block | Undone) -> None:
        if isinstance(event, Undone):
            assert self.chain.pop() == event.block
            self.undone.append(event.block)
        else:
            assert not self.chain or self.chain[-1].hash == event.parent
            self.chain.append(event)


def follow(chain: Chain, folder: Path, client: ChainClient | None = None) -> Follower:
    store = BlockStore(Journal(folder / "journal"), window=WINDOW)
    return Follower(client or chain.client, [chain.contract], store, chain_id=31337, poll_s=0.02)


async def settle(follower: Follower, record: Recorder, chain: Chain) -> None:
    for _ in range(50):
        await follower.step(record)
        head = await chain.client.header()
        if head is not None and record.chain and record.chain[-1].hash == head.hash:
            return
    raise AssertionError("the follower did not reach the head")


async def emit(chain: Chain, data: bytes) -> None:
    request = {"from": hex_of(FUNDED.address), "to": hex_of(chain.contract), "data": hex_of(data)}
    await transact(chain.client.rpc, request)


async def test_blocks_come_in_order_with_their_logs_and_a_restart_goes_on(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        record = Recorder()
        await emit(chain, b"one")
        await chain.mine(70)
        await settle(follow(chain, tmp_path), record, chain)
        assert [block.number for block in record.chain] == list(range(73))
        assert [log.data for block in record.chain for log in block.logs] == [b"one"]
        assert record.chain[2].logs[0].topics == (tiny_contract.LOG_TOPIC,)
        await emit(chain, b"two")
        later = Recorder()
        await settle(follow(chain, tmp_path), later, chain)
        assert [log.data for block in later.chain for log in block.logs] == [b"two"]


async def test_replaced_blocks_are_undone_with_their_logs_even_after_a_restart(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        record = Recorder()
        await chain.mine(3)
        await emit(chain, b"gone")
        await settle(follow(chain, tmp_path), record, chain)
        await chain.client.rpc.call("anvil_reorg", 3, [])
        await settle(follow(chain, tmp_path), record, chain)
        assert [block.number for block in record.undone] == [5, 4, 3]
        assert [log.data for log in record.undone[0].logs] == [b"gone"]
        assert all(not block.logs for block in record.chain)


async def test_a_shorter_chain_undoes_nothing_until_it_differs(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        record, follower = Recorder(), follow(chain, tmp_path)
        snapshot = await chain.client.rpc.call("evm_snapshot")
        await chain.mine(2)
        await settle(follower, record, chain)
        await chain.client.rpc.call("evm_revert", snapshot)
        await follower.step(record)
        assert record.undone == []
        await emit(chain, b"other")
        await chain.mine(2)
        await settle(follower, record, chain)
        assert len(record.undone) == 2


async def test_a_reorg_deeper_than_the_window_is_an_error_again_after_a_restart(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        store = BlockStore(Journal(tmp_path / "journal"), window=3)
        record = Recorder()
        await chain.mine(6)
        await settle(Follower(chain.client, [], store, chain_id=31337), record, chain)
        await chain.client.rpc.call("anvil_reorg", 5, [])
        for _ in range(2):
            with pytest.raises(ReorgTooDeepError):
                await Follower(chain.client, [], store, chain_id=31337).run(record)


async def test_another_chain_id_is_an_error(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        store = BlockStore(Journal(tmp_path / "journal"), window=8)
        with pytest.raises(WrongChainError, match="31337, not 5") as caught:
            await Follower(chain.client, [], store, chain_id=5).run(Recorder())
        assert caught.value.exit_code == 4


async def test_it_lives_through_an_outage_of_the_rpc(tmp_path: Path) -> None:
    record = Recorder()
    state = ["--state", str(tmp_path / "state.json")]
    async with trio.open_nursery() as nursery:
        async with run_anvil(find_anvil(), log=tmp_path / "log", arguments=state) as anvil:
            port = int(anvil.url.rpartition(":")[2])
            rpc = RpcClient(anvil.url, attempts=1)
            store = BlockStore(Journal(tmp_path / "journal"), window=8)
            follower = Follower(ChainClient(rpc), [FUNDED.address], store, chain_id=31337, poll_s=0.02)
            nursery.start_soon(follower.run, record)
            await rpc.call("anvil_mine", "0x2")
            while len(record.chain) < 3:
                await trio.sleep(0.01)
        await trio.sleep(0.1)
        async with run_anvil(find_anvil(), log=tmp_path / "log", port=port, arguments=state):
            await rpc.call("anvil_mine", "0x2")
            with trio.fail_after(20):
                while record.chain[-1].number < 4:
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()


async def test_the_clock_keeps_up_with_a_chain_that_mines_on_demand(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        await chain.client.rpc.call("evm_increaseTime", 5000)
        clock = ChainClock()
        store = BlockStore(Journal(tmp_path / "journal"), window=8)
        await Follower(chain.client, [], store, chain_id=31337, clock=clock).step(Recorder())
        ahead = clock.seconds()
        await chain.sender(tmp_path).send("a", Call(chain.contract, b"x"))
        head = await chain.client.header()
        assert head is not None and abs(head.timestamp - ahead) <= 5
