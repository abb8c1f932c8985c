# SPDX-License-Identifier: GPL-3.0-or-later
"""Transactions on bad days, on a real chain: dropped, undone, stuck, refused by name, and nonces that others take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
from anvil_process import FUNDED, QUICK, Chain, tiny_chain, transact
from rpc_proxy import Refuse, proxy

from node.chain.client import ChainClient
from node.chain.raw_transactions import read
from node.chain.records import Call, Receipt, hex_of
from node.chain.rpc import RpcClient
from node.chain.store import TransactionStore
from node.chain.transactions import MOST_NONCES, TransactionSender
from node.journal import Journal
from protocol.errors import NonceTakenError, TransactionTimeoutError

GUARD = 30.0
FINAL = replace(QUICK, final=4)
HELLO = b"hello"


def store_of(folder: Path) -> TransactionStore:
    return TransactionStore(Journal(folder / "journal"))


async def until(condition: Callable[[], Any]) -> None:
    with trio.fail_after(GUARD):
        while not condition():
            await trio.sleep(0.02)


async def hold(chain: Chain) -> None:
    """Mine nothing until told."""
    await chain.client.rpc.call("evm_setAutomine", False)


async def go_on(chain: Chain) -> None:
    await chain.client.rpc.call("evm_setAutomine", True)
    await chain.mine()


async def executions(chain: Chain, data: bytes = HELLO) -> int:
    """How often the contract was called with this."""
    logs = await chain.client.past_logs({"address": hex_of(chain.contract)}, 0)
    return [log.data for log in logs].count(data)


async def test_a_dropped_transaction_is_broadcast_again(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain, trio.open_nursery() as nursery:
        await hold(chain)
        sender, receipts = chain.sender(tmp_path), list[Receipt]()

        async def send() -> None:
            receipts.append(await sender.send("a", Call(chain.contract, HELLO)))

        nursery.start_soon(send)
        await until(lambda: store_of(tmp_path).attempts("a"))
        signed = store_of(tmp_path).attempts("a")[0]
        with trio.fail_after(GUARD):
            while await chain.client.nonce(FUNDED.address, "pending") == signed.nonce:
                await trio.sleep(0.02)
            assert await chain.client.rpc.call("anvil_dropTransaction", hex_of(signed.hash))
            while await chain.client.nonce(FUNDED.address, "pending") == signed.nonce:
                await trio.sleep(0.02)
        await go_on(chain)
        await until(lambda: receipts)
        assert receipts[0].transaction_hash == signed.hash and await executions(chain) == 1


async def test_a_transaction_whose_block_is_undone_is_mined_again_before_it_is_final(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain, trio.open_nursery() as nursery:
        sender = chain.sender(tmp_path, FINAL)
        await sender.send("a", Call(chain.contract, HELLO))
        (signed,) = store_of(tmp_path).unfinished(FUNDED.address)
        await chain.client.rpc.call("anvil_reorg", 1, [])
        assert await executions(chain) == 0
        nursery.start_soon(sender.run)
        with trio.fail_after(GUARD):
            while await executions(chain) == 0:
                await trio.sleep(0.05)
            assert store_of(tmp_path).unfinished(FUNDED.address) == [signed]
            await chain.mine(4)
            await until(lambda: not store_of(tmp_path).unfinished(FUNDED.address))
        assert await executions(chain) == 1
        nursery.cancel_scope.cancel()


async def test_two_tasks_that_fight_over_one_nonce_send_one_transaction(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        await hold(chain)
        sender, receipts = chain.sender(tmp_path, replace(QUICK, stuck_s=0.2)), list[Receipt]()

        async def send() -> None:
            receipts.append(await sender.send("a", Call(chain.contract, HELLO)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(send)
            nursery.start_soon(sender.run)
            await until(lambda: len(store_of(tmp_path).attempts("a")) > 3)
            await go_on(chain)
            await until(lambda: len(receipts) == 2)
            nursery.cancel_scope.cancel()
        attempts = store_of(tmp_path).attempts("a")
        assert [signed.attempt for signed in attempts] == list(range(len(attempts)))
        assert len({signed.nonce for signed in attempts}) == 1
        assert receipts[0] == receipts[1] and await executions(chain) == 1
        fees = [read(signed.raw)[1].cap for signed in attempts]
        assert all(after * 8 >= before * 9 for before, after in pairwise(fees))


async def test_what_was_replaced_and_is_broadcast_again_is_mined_once(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        await hold(chain)
        sender = chain.sender(tmp_path, replace(QUICK, stuck_s=0.1, timeout_s=0.8))
        with pytest.raises(TransactionTimeoutError):
            await sender.send("a", Call(chain.contract, HELLO))
        attempts = store_of(tmp_path).attempts("a")
        assert len(attempts) > 1
        await go_on(chain)
        restarted = chain.sender(tmp_path)
        for signed in attempts:
            await restarted._broadcast(signed)
        receipt = await restarted.send("a", Call(chain.contract, HELLO))
        await chain.mine(2)
        assert receipt.succeeded and await executions(chain) == 1


@pytest.mark.parametrize("said", ["already known", "nonce too low", "replacement transaction underpriced"])
async def test_the_receipts_decide_and_not_what_the_pool_says(tmp_path: Path, said: str) -> None:
    async def refusing(method: str, params: list[Any], forward: Any) -> Any:
        found = await forward(method, params)
        if method == "eth_sendRawTransaction":
            raise Refuse(said)
        return found

    async with tiny_chain(tmp_path) as chain, proxy(chain.url) as lying:
        lying.fault = refusing
        async with RpcClient(lying.url) as rpc:
            sender = TransactionSender(ChainClient(rpc), FUNDED, 31337, store_of(tmp_path), QUICK)
            assert (await sender.send("a", Call(chain.contract, HELLO))).succeeded
        assert await executions(chain) == 1


async def foreign(chain: Chain, nonce: int, **fields: str) -> dict[str, Any]:
    """Another program sends a transaction with the account's key."""
    request = {"from": hex_of(FUNDED.address), "to": hex_of(FUNDED.address), "nonce": hex(nonce), **fields}
    return await transact(chain.client.rpc, request)


async def test_a_nonce_that_another_program_took_is_noticed_and_the_transaction_goes_on(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        await hold(chain)
        call = Call(chain.contract, HELLO)
        with pytest.raises(TransactionTimeoutError):
            await chain.sender(tmp_path, replace(QUICK, timeout_s=0.3)).send("a", call)
        (signed,) = store_of(tmp_path).attempts("a")
        await chain.client.rpc.call("anvil_dropAllTransactions")
        await go_on(chain)
        await foreign(chain, signed.nonce)
        sender = chain.sender(tmp_path, FINAL)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.run)
            await trio.sleep(0.6)
            # Until the other's is final a reorganisation could still bring ours: nothing is signed.
            assert len(store_of(tmp_path).attempts("a")) == 1
            await chain.mine(4)
            receipt = await sender.send("a", call)
            nursery.cancel_scope.cancel()
        assert receipt.succeeded and await executions(chain) == 1
        assert [s.nonce for s in store_of(tmp_path).attempts("a")] == [signed.nonce, signed.nonce + 1]


def signed_so_often(folder: Path, count: int) -> bool:
    return len(store_of(folder).attempts("a")) == count


async def test_another_program_that_takes_every_nonce_is_an_error(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        await hold(chain)
        for count in range(1, MOST_NONCES + 1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(chain.sender(tmp_path).send, "a", Call(chain.contract, HELLO))
                await until(partial(signed_so_often, tmp_path, count))
                nursery.cancel_scope.cancel()
            nonce = store_of(tmp_path).attempts("a")[-1].nonce
            await chain.client.rpc.call("anvil_dropAllTransactions")
            await chain.client.rpc.call("evm_setAutomine", True)
            await foreign(chain, nonce)
            await hold(chain)
        with pytest.raises(NonceTakenError):
            await chain.sender(tmp_path).send("a", Call(chain.contract, HELLO))


async def test_a_nonce_that_nobody_uses_any_more_is_filled(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        await hold(chain)
        mined = await chain.client.nonce(FUNDED.address)
        request = {"from": hex_of(FUNDED.address), "to": hex_of(FUNDED.address), "nonce": hex(mined)}
        theirs = await chain.client.rpc.call("eth_sendTransaction", request)
        sender, receipts = chain.sender(tmp_path, replace(QUICK, stuck_s=0.3)), list[Receipt]()

        async def send() -> None:
            receipts.append(await sender.send("a", Call(chain.contract, HELLO)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await until(lambda: store_of(tmp_path).attempts("a"))
            assert store_of(tmp_path).attempts("a")[0].nonce == mined + 1
            await chain.client.rpc.call("anvil_dropTransaction", theirs)
            await go_on(chain)
            nursery.start_soon(sender.run)
            await until(lambda: receipts)
            nursery.cancel_scope.cancel()
        assert await executions(chain) == 1
        assert len(store_of(tmp_path).attempts(f"fill-{mined}")) == 1


async def test_a_gas_spike_after_sending_is_followed_by_a_replacement(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        await hold(chain)
        sender, receipts = chain.sender(tmp_path, replace(QUICK, stuck_s=0.3)), list[Receipt]()

        async def send() -> None:
            receipts.append(await sender.send("a", Call(chain.contract, HELLO)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await until(lambda: store_of(tmp_path).attempts("a"))
            spike = 100 * read(store_of(tmp_path).attempts("a")[0].raw)[1].cap
            await chain.client.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(spike))
            assert await chain.client.base_fee() == spike  # known before the block
            await until(lambda: read(store_of(tmp_path).attempts("a")[-1].raw)[1].cap > spike)
            with trio.fail_after(GUARD):  # it is journalled before it is in the pool
                sent = hex_of(store_of(tmp_path).attempts("a")[-1].hash)
                while await chain.client.rpc.call("eth_getTransactionByHash", sent) is None:
                    await trio.sleep(0.02)
            await chain.mine()
            await until(lambda: receipts)
        assert receipts[0].gas_price >= spike and await executions(chain) == 1
