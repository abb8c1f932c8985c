# SPDX-License-Identifier: GPL-3.0-or-later
"""Who waits for a receipt that its RPC does not give is told so, and does not wait for ever."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from market_phases import client_in
from market_samples import ORDER_HASH, TX
from trio.testing import MockClock

from market.client import Phase
from node.client_api import RECEIPT_SECONDS, Client, ReceiptMissingError


def waiting(phase: Phase, found: list[Any]) -> Client:
    """A client whose one job stands in a phase, with these answers of its store of receipts, one a look."""
    made = Client.__new__(Client)
    receipts = SimpleNamespace(find=lambda order_hash: found.pop(0) if found else None)
    shell = SimpleNamespace(state=client_in(phase))
    node: Any = SimpleNamespace(client=SimpleNamespace(shell=shell), context=SimpleNamespace(receipts=receipts))
    vars(made).update(_node=node, _changed=trio.Event(), _write=lambda order_hash: None)
    return made


async def test_a_receipt_that_does_not_come_is_named_with_its_transaction(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    with pytest.raises(ReceiptMissingError, match=TX.hex()):
        await waiting(Phase.SETTLED, []).wait(ORDER_HASH)
    assert RECEIPT_SECONDS <= trio.current_time() - began <= RECEIPT_SECONDS + 1


async def test_one_that_comes_late_is_waited_for_however_long_the_job_took(autojump_clock: MockClock) -> None:
    receipt = object()
    assert await waiting(Phase.SETTLED, [None] * 1_000 + [receipt]).wait(ORDER_HASH) is cast(Any, receipt)
    client = waiting(Phase.WAITING, [receipt])
    with trio.move_on_after(10 * RECEIPT_SECONDS):
        await client.wait(ORDER_HASH)
        pytest.fail("the job is not settled")
    vars(client.node.client)["shell"].state = client_in(Phase.SETTLED)
    assert await client.wait(ORDER_HASH) is cast(Any, receipt)
