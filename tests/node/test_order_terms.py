# SPDX-License-Identifier: GPL-3.0-or-later
"""An order that nobody can be paid for: a lock of it loses its collateral, so a prover takes no award of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from escrow_market import ETHER, OUTPUT, Market, account, market, tiny_program
from external_program import External, register_external

from contracts import bindings
from contracts.records import Settlement, Status
from market import refusals
from node.chain_view import open_chain
from node.journal import Journal
from node.order_terms import OrderTerms
from protocol.binding import market_binding
from protocol.errors import RegistrationRefusal, RpcDownError, TermsRefusal
from protocol.structs import Order

CLIENT, PROVER = map(account, ("client", "prover"))


@pytest.fixture(scope="module")
def chain() -> Iterator[Market]:
    with market(("client", "prover", "publisher")) as running:
        for each in (CLIENT, PROVER):
            running.send(each, bindings.deposit(), ETHER)
        yield running


@pytest.fixture(scope="module")
def external(chain: Market) -> External:
    return register_external(chain)


def _unpayable(chain: Market, external: External) -> dict[str, Order]:
    """Orders that the Escrow locks and never pays, by the refusal that they deserve."""
    good = chain.order(CLIENT.address, 1, model_id=chain.model_id, royalty_bps=250)
    return {
        "royalty": good.model_copy(update={"royalty_bps": 249}),
        "royalty of no model": good.model_copy(update={"model_id": bytes(32)}),
        "model of another program": good.model_copy(update={"model_id": external.model_id}),
        "no model": good.model_copy(update={"model_id": b"\x07" * 32}),
        "no program": good.model_copy(update={"program_id": b"\x07" * 32}),
        "another proof system": good.model_copy(
            update={"program_id": external.program_id, "model_id": external.model_id}
        ),
    }


CODES = {
    "royalty": refusals.ROYALTY_MISMATCH,
    "royalty of no model": refusals.ROYALTY_MISMATCH,
    "model of another program": refusals.MODEL_MISMATCH,
    "no model": refusals.MODEL_MISMATCH,
    "no program": refusals.UNKNOWN_PROGRAM,
    "another proof system": refusals.UNKNOWN_PROGRAM,
}


@pytest.mark.parametrize("what", CODES)
def test_the_escrow_locks_what_it_will_not_pay_and_burns_the_collateral(
    chain: Market, external: External, what: str
) -> None:
    """What the client of such an order would do to a prover that looks at nothing; its own money comes back."""
    order = _unpayable(chain, external)[what]
    award = chain.award(order, PROVER.address)
    before = chain.balance(CLIENT.address), chain.balance(PROVER.address)
    signature = CLIENT.sign(chain.network, award)
    snapshot = chain.rpc.call("evm_snapshot")
    chain.send(PROVER, bindings.lock(order, award, signature))
    proof = tiny_program().prove(market_binding(award.order_hash, award.payout, PROVER.address))
    with pytest.raises((TermsRefusal, RegistrationRefusal)):
        chain.send(PROVER, bindings.settle(Settlement(order, award, signature, proof, (OUTPUT,), PROVER.address)))
    chain.set_time(order.final_by + 1)
    chain.send(CLIENT, bindings.expire(order, award))
    assert chain.state(order).status is Status.EXPIRED
    after = chain.balance(CLIENT.address), chain.balance(PROVER.address)
    assert after == (before[0], before[1] - order.collateral)
    chain.rpc.call("evm_revert", snapshot)


async def test_a_prover_sees_beforehand_what_would_not_be_paid(
    chain: Market, external: External, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = chain.settings(tmp_path)
    with Journal(tmp_path / "journal") as journal:
        async with open_chain(settings, PROVER, journal) as view:
            terms = OrderTerms(view)
            found = {what: await terms.fault(order) for what, order in _unpayable(chain, external).items()}
            assert found == CODES
            for model_id, royalty_bps in ((chain.model_id, 250), (bytes(32), 0)):
                good = chain.order(CLIENT.address, 1, model_id=model_id, royalty_bps=royalty_bps)
                assert await terms.fault(good) == ""
            # What is known is not asked for again; what deserved a refusal is: it may be registered meanwhile.
            asked = []

            async def noted(program_id: bytes) -> object:
                asked.append(program_id)
                return replace(await type(view).registered(view, program_id), dev=True)

            async def no() -> bool:
                return False

            monkeypatch.setattr(view, "registered", noted)
            monkeypatch.setattr(view, "allows_dev", no)
            assert await terms.fault(good) == "" and not asked
            async def down(program_id: bytes) -> object:
                raise RpcDownError("Nobody answers.")

            unseen = OrderTerms(view)
            monkeypatch.setattr(view, "registered", down)
            assert await unseen.fault(good) == refusals.CHAIN_UNREACHABLE in refusals.PASSING
            monkeypatch.setattr(view, "registered", noted)
            # Of another deployment, which takes no development keys.
            assert await OrderTerms(view).fault(good) == refusals.UNKNOWN_PROGRAM
            assert len(asked) == 1
