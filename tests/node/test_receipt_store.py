# SPDX-License-Identifier: GPL-3.0-or-later
"""The call data of a settlement is its sender's word: a receipt holds what the chain says was proved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from escrow_market import ETHER, OUTPUT, Market, account, market

from contracts import bindings, packing
from contracts.abi import artifact
from contracts.packing import BatchJob
from contracts.records import Settlement
from market.effects import KeepReceipt
from node.chain_view import open_chain
from node.journal import Journal
from node.receipt import Receipt, check_offline
from node.receipt_store import ReceiptStore
from protocol.errors import RpcMalformedError
from protocol.scalars import ZERO_HASH

CLIENT, PROVER, VERIFIER = map(account, ("client", "prover", "verifier"))
SALTS = count(1)
FORWARDER, FORWARDS = b"\xf0" * 20, "0x602036038060205f375f5f825f5f5f355af1601857" + "5f5ffd5b00"
"""Calls the address in the first word of its call data with the rest."""


@pytest.fixture(scope="module")
def chain() -> Iterator[Market]:
    with market(("client", "prover", "verifier")) as running:
        for each in (CLIENT, PROVER):
            running.send(each, bindings.deposit(), ETHER)
        running.rpc.call("anvil_setCode", "0x" + FORWARDER.hex(), FORWARDS)
        yield running


def job(chain: Market) -> Settlement:
    order = chain.order(CLIENT.address, next(SALTS))
    return chain.settlement(CLIENT, order, chain.award(order, PROVER.address), VERIFIER.address)


def lock(chain: Market, s: Settlement) -> None:
    chain.send(PROVER, bindings.lock(s.order, s.award, s.signature))


def send(chain: Market, data: bytes, to: bytes | None = None) -> bytes:
    """Send a transaction of the verifier's; its hash."""
    mined = chain.rpc.transact(VERIFIER, to or chain.deployment.escrow, data)
    return bytes.fromhex(mined["transactionHash"][2:])


def batch(jobs: Sequence[Settlement]) -> bytes:
    return packing.settle_batch([BatchJob(each) for each in jobs])


async def kept(chain: Market, folder: Path, s: Settlement, transaction_hash: bytes) -> Receipt:
    """What the client's node keeps of a settlement."""
    settings = chain.settings(folder)
    with Journal(folder / "journal") as journal:
        async with open_chain(settings, CLIENT, journal) as view:
            store = ReceiptStore(folder / "receipts", view, CLIENT)
            order_hash = s.award.order_hash
            await store.keep(KeepReceipt(order_hash, s.order, transaction_hash))
            receipt = store.find(order_hash)
    assert receipt is not None and (receipt.order, receipt.award) == (s.order, s.award)
    assert all(check.passed for check in check_offline(receipt))
    return receipt


async def test_a_skipped_job_of_the_same_batch_lends_it_no_output(chain: Market, tmp_path: Path) -> None:
    good = job(chain)
    wrong = replace(good, outputs=(OUTPUT + 1,), signature=bytes(65))
    other = replace(good, proof=bytes(256), signature=bytes(65))
    dear = replace(good, award=good.award.model_copy(update={"price": 10**9}), signature=bytes(65))
    long = replace(good, outputs=(OUTPUT,) * 100, signature=bytes(65))
    transaction = send(chain, batch([wrong, long, other, dear, good]))
    assert (await kept(chain, tmp_path, good, transaction)).outputs == (OUTPUT,)


async def test_skipped_jobs_that_no_type_holds_hide_nothing(chain: Market, tmp_path: Path) -> None:
    """A price of 256 bits, and words that are named beyond the pool: the Escrow reads what is there."""
    good = job(chain)
    huge = replace(good, award=good.award.model_copy(update={"price": 2**256 - 1}))
    transaction = send(chain, _with_zeros_from_beyond(batch([huge, good])))
    assert (await kept(chain, tmp_path, good, transaction)).outputs == (OUTPUT,)


def _with_zeros_from_beyond(data: bytes) -> bytes:
    """The same batch, whose zeros are read where the call data has ended; of a pool that is long enough for that."""
    packed = bytearray(data[4 + 64 : 4 + 64 + int.from_bytes(data[36:68], "big")])
    at, beyond = 2 + 32 * int.from_bytes(packed[:2], "big") + 1, (0xFFFF).to_bytes(2, "big")
    changed = [place for place in range(at, at + 42, 2) if packed[place : place + 2] == b"\0\0"]
    for place in changed:
        packed[place : place + 2] = beyond
    assert changed
    return data[:68] + bytes(packed).ljust(len(data) - 68, b"\0")


async def test_a_lock_vouches_for_an_award_whose_signature_was_left_out(chain: Market, tmp_path: Path) -> None:
    good = job(chain)
    lock(chain, good)
    transaction = send(chain, bindings.settle(replace(good, signature=b"")))
    assert (await kept(chain, tmp_path, good, transaction)).award_signature == good.signature


async def test_padding_and_a_missing_order_hash_hide_nothing(chain: Market, tmp_path: Path) -> None:
    good = job(chain)
    unnamed = replace(good, award=good.award.model_copy(update={"order_hash": ZERO_HASH}))
    data = bytearray(bindings.settle(unnamed))
    at = data.index(good.signature) + 65
    assert data[at : at + 31] == bytes(31)
    data[at : at + 31] = b"\xff" * 31
    assert (await kept(chain, tmp_path, good, send(chain, bytes(data)))).outputs == (OUTPUT,)


@pytest.mark.parametrize("batched", [False, True])
async def test_a_contract_between_hides_nothing(chain: Market, tmp_path: Path, batched: bool) -> None:
    good = job(chain)
    data = batch([good]) if batched else bindings.settle(good)
    wrapped = chain.deployment.escrow.rjust(32, b"\0") + data
    assert (await kept(chain, tmp_path, good, send(chain, wrapped, FORWARDER))).outputs == (OUTPUT,)


async def test_of_a_transaction_that_holds_no_proof_of_the_order_nothing_is_kept(chain: Market, tmp_path: Path) -> None:
    good, another = job(chain), job(chain)
    send(chain, bindings.settle(good))
    transaction = send(chain, bindings.settle(another))
    with pytest.raises(RpcMalformedError, match="does not hold"):
        await kept(chain, tmp_path, good, transaction)
    deposit = chain.rpc.transact(VERIFIER, chain.deployment.escrow, artifact("Escrow").functions["deposit"].selector)
    with pytest.raises(RpcMalformedError, match="does not hold"):
        await kept(chain, tmp_path, good, bytes.fromhex(deposit["transactionHash"][2:]))
    with pytest.raises(RpcMalformedError, match="does not know"):
        await kept(chain, tmp_path, good, bytes(32))
