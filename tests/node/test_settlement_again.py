# SPDX-License-Identifier: GPL-3.0-or-later
"""A settlement that was mined and reverted is sent anew, by another name, when its machine asks again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from market_samples import AT, ORDER, ORDER_HASH, PROOF, PROVER, SIGNATURE, a_bid, an_award

from market.effects import SubmitSettlement
from market.events import SettlementFailed
from node.chain_view import ChainView
from node.settlement import Transactions
from protocol.errors import RevertedError, TransactionRevertedError

EFFECT = SubmitSettlement(ORDER_HASH, ORDER, an_award(a_bid()), SIGNATURE, (1,), PROOF, PROVER)


class Chain:
    """A chain that answers each transaction as a test says, and a known name as before."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers = list(answers)
        self.by_key: dict[str, Exception | None] = {}
        self.ledger = SimpleNamespace(lock_of=lambda order_hash: None)
        self.clock = SimpleNamespace(now=lambda: AT)

    async def settle(self, settlement: object, locking: object, key: str) -> Any:
        if key not in self.by_key:
            answer = self._answers.pop(0)
            if isinstance(answer, RevertedError) and not isinstance(answer, TransactionRevertedError):
                raise answer  # not sent, so not known by its name
            self.by_key[key] = answer
        if (answer := self.by_key[key]) is not None:
            raise answer
        return SimpleNamespace(gas_used=1)

    async def is_settled(self, order_hash: bytes) -> bool:
        return False


async def test_a_reverted_settlement_is_not_followed_for_ever_but_sent_anew() -> None:
    chain = Chain(TransactionRevertedError("Reverted."), TransactionRevertedError("Reverted."), None)
    transactions = Transactions(cast(ChainView, chain))
    answers = [await transactions.settle(EFFECT) for _ in range(4)]
    assert [len(events) for events in answers] == [1, 1, 0, 0]
    assert isinstance(answers[0][0], SettlementFailed) and len(chain.by_key) == 3


async def test_one_that_would_revert_keeps_its_name() -> None:
    chain = Chain(RevertedError("Not yet."), RevertedError("Not yet."), None)
    transactions = Transactions(cast(ChainView, chain))
    assert [len(await transactions.settle(EFFECT)) for _ in range(3)] == [1, 1, 0]
    assert len(chain.by_key) == 1


async def test_after_a_restart_the_spent_name_is_found_out_again() -> None:
    chain = Chain(TransactionRevertedError("Reverted."), None)
    assert len(await Transactions(cast(ChainView, chain)).settle(EFFECT)) == 1
    again = Transactions(cast(ChainView, chain))
    assert [len(await again.settle(EFFECT)) for _ in range(2)] == [1, 0]
