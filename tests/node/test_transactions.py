# SPDX-License-Identifier: GPL-3.0-or-later
"""Each transaction once: across restarts, outages, stuck fees and contracts that refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_contract
import trio
from anvil_process import FUNDED, QUICK, Chain, tiny_chain

from node.chain.records import Call
from node.chain.store import TransactionStore
from node.chain.transactions import TransactionSender
from node.journal import Journal
from protocol.errors import (
    InsufficientFundsError,
    RevertedError,
    TransactionKeyReusedError,
    TransactionRevertedError,
    TransactionTimeoutError,
)
from protocol.signing import Account


async def test_a_transaction_is_mined_and_its_key_finds_it_again_after_a_restart(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        before = await chain.client.nonce(FUNDED.address)
        receipt = await chain.sender(tmp_path).send("settle:1", Call(chain.contract, b"hello"))
        assert receipt.succeeded and receipt.logs[0].data == b"hello"
        again = await chain.sender(tmp_path).send("settle:1", Call(chain.contract, b"hello"))
        assert again == receipt and await chain.client.nonce(FUNDED.address) == before + 1
        with pytest.raises(TransactionKeyReusedError):
            await chain.sender(tmp_path).send("settle:1", Call(chain.contract, b"other"))


async def test_a_crash_between_journal_and_broadcast_sends_the_journalled_one(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        await chain.client.rpc.call("evm_setAutomine", False)
        before = await chain.client.nonce(FUNDED.address)
        crashing = chain.sender(tmp_path)
        call = Call(chain.contract, b"hello")
        with trio.CancelScope() as crash:

            async def die(signed: object) -> None:
                crash.cancel()
                await trio.sleep(0)

            crashing._broadcast = die  # type: ignore[method-assign]
            await crashing.send("settle:1", call)
        assert await chain.client.nonce(FUNDED.address, "pending") == before
        await chain.client.rpc.call("evm_setAutomine", True)
        restarted = chain.sender(tmp_path)
        await restarted.resume()
        assert await chain.client.nonce(FUNDED.address, "pending") == before + 1
        receipt = await restarted.send("settle:1", call)
        assert await chain.client.nonce(FUNDED.address) == before + 1
        (journalled,) = TransactionStore(Journal(tmp_path / "journal")).attempts("settle:1")
        assert receipt.transaction_hash == journalled.hash


async def test_many_at_once_take_consecutive_nonces(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        sender = chain.sender(tmp_path)
        before = await chain.client.nonce(FUNDED.address)
        async with trio.open_nursery() as nursery:
            for n in range(8):
                nursery.start_soon(sender.send, f"k{n}", Call(chain.contract, bytes([n + 1])))
            nursery.start_soon(sender.send, "k0", Call(chain.contract, b"\x01"))
        assert await chain.client.nonce(FUNDED.address) == before + 8


async def test_a_call_that_would_revert_is_not_sent(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        before = await chain.client.nonce(FUNDED.address)
        with pytest.raises(RevertedError, match="0xdeadbeef") as caught:
            await chain.sender(tmp_path).send("a", Call(chain.contract))
        assert caught.value.data == tiny_contract.REFUSAL
        assert not isinstance(caught.value, TransactionRevertedError)
        assert await chain.client.nonce(FUNDED.address, "pending") == before


async def test_one_that_reverts_when_mined_says_why(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        for _ in range(2):
            with pytest.raises(TransactionRevertedError, match="0xdeadbeef") as caught:
                await chain.sender(tmp_path).send("a", Call(chain.contract, gas=100_000))
            assert caught.value.data == tiny_contract.REFUSAL


async def test_a_stuck_transaction_is_replaced_with_an_eighth_more(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        await chain.client.rpc.call("evm_setAutomine", False)
        sender = chain.sender(tmp_path, replace(QUICK, stuck_s=0.1))
        store = TransactionStore(Journal(tmp_path / "journal"))
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                receipt = await sender.send("a", Call(chain.contract, b"hello"))
                assert receipt.transaction_hash in [s.hash for s in store.attempts("a")[1:]]

            nursery.start_soon(send)
            while len(store.attempts("a")) < 3:
                await trio.sleep(0.02)
            await chain.mine()
            await chain.client.rpc.call("evm_setAutomine", True)
        assert len({s.nonce for s in store.attempts("a")}) == 1
        assert store.unfinished(FUNDED.address) == []


async def test_one_not_mined_in_time_can_be_followed_later(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        await chain.client.rpc.call("evm_setAutomine", False)
        call = Call(chain.contract, b"hello")
        with pytest.raises(TransactionTimeoutError) as caught:
            await chain.sender(tmp_path, replace(QUICK, timeout_s=0.3)).send("a", call)
        assert caught.value.exit_code == 6
        await chain.mine()
        assert (await chain.sender(tmp_path).send("a", call)).succeeded


async def test_confirmations_are_waited_for(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        sender = chain.sender(tmp_path, replace(QUICK, confirmations=3))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(chain_goes_on, chain)
            receipt = await sender.send("a", Call(chain.contract, b"hello"))
            nursery.cancel_scope.cancel()
        head = await chain.client.header()
        assert head is not None and head.number >= receipt.block_number + 2


async def chain_goes_on(chain: Chain) -> None:
    while True:
        await trio.sleep(0.1)
        await chain.mine()


async def test_a_poor_account_is_told_before_anything_is_signed(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        poor = Account(b"\x07" * 32)
        store = TransactionStore(Journal(tmp_path / "journal"))
        sender = TransactionSender(chain.client, poor, 31337, store, QUICK)
        for gas in (None, 50_000):
            with pytest.raises(InsufficientFundsError) as caught:
                await sender.send("a", Call(chain.contract, b"hello", value=1, gas=gas))
            assert caught.value.exit_code == 7 and store.attempts("a") == []
