# SPDX-License-Identifier: GPL-3.0-or-later
"""The Escrow on a real chain, with real signatures and real proofs."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from escrow_market import (
    COMMITMENT,
    ETHER,
    LAYOUT,
    OUTPUT,
    SETUP_ID,
    WITHDRAWAL_DELAY,
    Market,
    account,
    market,
    model_record,
    tiny_program,
)

from contracts import bindings
from contracts.abi import call_data
from contracts.calldata import decode_settlements
from contracts.events import Advised, Settled, balance_changes, decode_event
from contracts.model import BURNED
from contracts.records import Advice, Settlement, Status
from protocol.binding import market_binding
from protocol.eip712 import digest
from protocol.errors import (
    AuthorityRefusal,
    ContractRefusal,
    DeadlineRefusal,
    FundsRefusal,
    ProofRefusal,
    RegistrationRefusal,
    StateRefusal,
    TermsRefusal,
)
from protocol.statement import GROTH16_BN254, statement_hash
from protocol.structs import Award, Network, Order

CLIENT, PROVER, RIVAL, VERIFIER = map(account, ("client", "prover", "rival", "verifier"))
PUBLISHER = account("publisher").address


@pytest.fixture(scope="module")
def chain() -> Iterator[Market]:
    with market(("client", "prover", "rival", "verifier")) as running:
        for each in (CLIENT, PROVER, RIVAL):
            running.send(each, bindings.deposit(), ETHER)
        yield running


@pytest.fixture(autouse=True)
def unchanged(chain: Market) -> Iterator[None]:
    """Each test starts from the same chain."""
    snapshot = chain.rpc.call("evm_snapshot")
    yield
    assert chain.rpc.call("evm_revert", snapshot)


def test_digests_and_binding_agree_with_protocol(chain: Market) -> None:
    order = chain.order(
        CLIENT.address, 1, kind=1, input_size=2**63 - 1, royalty_bps=10_000, price_cap=2**128 - 1,
        consumer=b"\x05" * 20, context=b"\x06" * 32, reply_key=b"\x07" * 32, input_commitment=2**253,
    )  # fmt: skip
    award = chain.award(order, PROVER.address, payout=b"\x08" * 20, bid_hash=b"\x09" * 32)
    for data, value in ((bindings.order_digest(order), order), (bindings.award_digest(award), award)):
        assert bindings.decode_hash(chain.view(data)) == digest(chain.network, value)
    data = bindings.binding(award.order_hash, award.payout, VERIFIER.address)
    expected = market_binding(award.order_hash, award.payout, VERIFIER.address)
    assert bindings.decode_number(chain.view(data)) == expected


def test_direct_settlement_pays_prover_publisher_and_settler(chain: Market) -> None:
    order = chain.order(CLIENT.address, 2, model_id=chain.model_id, royalty_bps=250)
    award = chain.award(order, PROVER.address)
    settlement = chain.settlement(CLIENT, order, award, VERIFIER.address)
    chain.send(VERIFIER, bindings.settle(settlement))
    royalty = 10_007 * 250 // 10_000
    assert chain.balance(CLIENT.address) == ETHER - 10_007 - 1001
    assert chain.balance(PROVER.address) == ETHER + 10_007 - royalty
    assert chain.balance(PUBLISHER) == royalty
    assert chain.balance(VERIFIER.address) == 1001
    event = [event for event in chain.events() if isinstance(event, Settled)][-1]
    binding = market_binding(award.order_hash, award.payout, VERIFIER.address)
    statement = statement_hash(order.program_id, [COMMITMENT, OUTPUT, binding])
    assert event.outputs == (OUTPUT,)
    assert chain.state(order).content == statement[:31]
    with pytest.raises(StateRefusal, match="AlreadySettled"):
        chain.send(VERIFIER, bindings.settle(settlement))


def test_fee_goes_to_payout_when_another_sends(chain: Market) -> None:
    order = chain.order(CLIENT.address, 3)
    award = chain.award(order, PROVER.address)
    chain.send(RIVAL, bindings.settle(chain.settlement(CLIENT, order, award, VERIFIER.address)))
    assert chain.balance(PROVER.address) == ETHER + 10_007 + 1001
    assert chain.balance(RIVAL.address) == ETHER and chain.balance(VERIFIER.address) == 0


def test_a_copied_proof_pays_nobody_else(chain: Market) -> None:
    order = chain.order(CLIENT.address, 4)
    theirs = chain.award(order, PROVER.address)
    copied = chain.settlement(CLIENT, order, theirs, VERIFIER.address)
    mine = chain.award(order, RIVAL.address)
    for award, settler in ((mine, VERIFIER.address), (theirs, RIVAL.address)):
        signature = CLIENT.sign(chain.network, award)
        stolen = Settlement(order, award, signature, copied.proof, copied.outputs, settler)
        with pytest.raises(ProofRefusal, match="ProofInvalid"):
            chain.send(RIVAL, bindings.settle(stolen))


def test_locked_settlement_returns_the_collateral(chain: Market) -> None:
    order, award = _locked(chain, 5)
    assert chain.balance(CLIENT.address) == ETHER - 10_007 - 1001
    assert chain.balance(PROVER.address) == ETHER - 4003
    assert chain.state(order).content == digest(chain.network, award)[:31]
    chain.set_time(award.promise_at)
    chain.send(PROVER, bindings.settle(chain.settlement(CLIENT, order, award, PROVER.address)))
    assert chain.balance(PROVER.address) == ETHER + 10_007 + 1001
    assert chain.balance(BURNED) == 0


def test_late_settlement_of_the_locking_award_keeps_only_the_bounty(chain: Market) -> None:
    order, award = _locked(chain, 6)
    chain.set_time(award.promise_at + 1)
    chain.send(PROVER, bindings.settle(chain.settlement(CLIENT, order, award, PROVER.address)))
    assert chain.balance(PROVER.address) == ETHER - 4003 + 10_007 + 1001 + 1000
    assert chain.balance(BURNED) == 3003


def test_voided_lock_pays_another_prover_and_refunds_the_excess(chain: Market) -> None:
    order, locking = _locked(chain, 7, promise_at=chain.now() + 50)
    award = chain.award(order, RIVAL.address, price=9_000)
    call = bindings.settle_voided(chain.settlement(CLIENT, order, award, RIVAL.address), locking)
    with pytest.raises(DeadlineRefusal, match="LockStillHolds"):
        chain.send(RIVAL, call)
    chain.set_time(locking.promise_at + 1)
    with pytest.raises(StateRefusal, match="LockedByAnotherAward"):
        chain.send(RIVAL, bindings.settle(chain.settlement(CLIENT, order, award, RIVAL.address)))
    chain.send(RIVAL, call)
    assert chain.balance(CLIENT.address) == ETHER - 9_000 - 1001
    assert chain.balance(RIVAL.address) == ETHER + 9_000 + 1001 + 1000
    assert chain.balance(PROVER.address) == ETHER - 4003
    assert chain.balance(BURNED) == 3003


@pytest.mark.parametrize(
    ("price", "debited", "refunded"),
    [(10_006, 0, 1), (10_007, 0, 0), (10_008, 1, 0), (ETHER // 2, ETHER // 2 - 10_007, 0)],
)
def test_voided_lock_takes_the_difference_in_price_from_the_client_or_gives_it_back(
    chain: Market, price: int, debited: int, refunded: int
) -> None:
    order, locking = _locked(chain, 8, promise_at=chain.now() + 50)
    award = chain.award(order, RIVAL.address, price=price)
    chain.set_time(locking.promise_at + 1)
    settlement = chain.settlement(CLIENT, order, award, RIVAL.address)
    chain.send(RIVAL, bindings.settle_voided(settlement, locking))
    event = [event for event in chain.events() if isinstance(event, Settled)][-1]
    assert (event.payment.debited, event.payment.refunded) == (debited, refunded)
    assert chain.balance(CLIENT.address) == ETHER - price - 1001
    assert chain.balance(RIVAL.address) == ETHER + price + 1001 + 1000
    _events_give_every_balance(chain)


def test_voided_lock_never_pays_more_than_the_client_has(chain: Market) -> None:
    order, locking = _locked(chain, 17, promise_at=chain.now() + 50)
    free = chain.balance(CLIENT.address)
    dearest, dearer = (chain.award(order, RIVAL.address, price=10_007 + free + more) for more in (0, 1))
    chain.set_time(locking.promise_at + 1)
    with pytest.raises(FundsRefusal, match="InsufficientBalance"):
        settlement = chain.settlement(CLIENT, order, dearer, RIVAL.address)
        chain.send(RIVAL, bindings.settle_voided(settlement, locking))
    settlement = chain.settlement(CLIENT, order, dearest, RIVAL.address)
    chain.send(RIVAL, bindings.settle_voided(settlement, locking))
    assert chain.balance(CLIENT.address) == 0


def test_voided_lock_never_pays_more_than_the_cap(chain: Market) -> None:
    order, locking = _locked(chain, 18, promise_at=chain.now() + 50)
    award = chain.award(order, RIVAL.address, price=order.price_cap + 1)
    chain.set_time(locking.promise_at + 1)
    with pytest.raises(TermsRefusal, match="PriceAboveCap"):
        settlement = chain.settlement(CLIENT, order, award, RIVAL.address)
        chain.send(RIVAL, bindings.settle_voided(settlement, locking))


def test_expired_lock_refunds_the_client_and_burns_the_collateral(chain: Market) -> None:
    order, award = _locked(chain, 9)
    chain.set_time(order.final_by)
    with pytest.raises(DeadlineRefusal, match="NotYetExpired"):
        chain.send(RIVAL, bindings.expire(order, award))
    chain.set_time(order.final_by + 1)
    with pytest.raises(DeadlineRefusal, match="FinalMissed"):
        chain.send(PROVER, bindings.settle(chain.settlement(CLIENT, order, award, PROVER.address)))
    chain.send(RIVAL, bindings.expire(order, award))
    assert chain.balance(CLIENT.address) == ETHER
    assert (chain.balance(PROVER.address), chain.balance(BURNED)) == (ETHER - 4003, 4003)
    assert chain.state(order).status is Status.EXPIRED


def test_only_the_prover_locks_and_only_what_the_client_signed(chain: Market) -> None:
    order = chain.order(CLIENT.address, 10)
    award = chain.award(order, PROVER.address)
    signature = CLIENT.sign(chain.network, award)
    with pytest.raises(AuthorityRefusal, match="NotProver"):
        chain.send(RIVAL, bindings.lock(order, award, signature))
    with pytest.raises(AuthorityRefusal, match="BadSignature"):
        chain.send(PROVER, bindings.lock(order, award, RIVAL.sign(chain.network, award)))
    other = chain.order(CLIENT.address, 11)
    # Packed, an award names no order but the one that it is sent with.
    with pytest.raises(AuthorityRefusal, match="BadSignature"):
        chain.send(PROVER, bindings.lock(other, award, signature))
    readable = call_data("Escrow", "lock", bindings.order_tuple(other), bindings.award_tuple(award), signature)
    with pytest.raises(TermsRefusal, match="AwardForAnotherOrder"):
        chain.send(PROVER, readable)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": 1}, "BadSignature"),  # of an open order the client signs the order, not an award
        ({"token": b"\x01" * 20}, "InsufficientBalance"),
        ({"price_cap": 10_006}, "PriceAboveCap"),
        ({"royalty_bps": 1}, "RoyaltyMismatch"),
        ({"model_id": b"\x01" * 32}, "ModelOfAnotherProgram"),
        ({"program_id": b"\x01" * 32}, "UnknownProgram"),
    ],
)
def test_terms_that_this_escrow_does_not_take(
    chain: Market, changes: dict[str, object], reason: str
) -> None:
    order = chain.order(CLIENT.address, 12, **changes)
    award = chain.award(order, PROVER.address)
    settlement = chain.settlement(CLIENT, order, award, PROVER.address)
    calls = [bindings.settle(settlement)]
    if reason not in ("RoyaltyMismatch", "ModelOfAnotherProgram", "UnknownProgram"):  # read at settlement
        calls.append(bindings.lock(order, award, settlement.signature))
    for data in calls:
        with pytest.raises(ContractRefusal, match=reason):
            chain.send(PROVER, data)


def test_cancel_takes_effect_after_the_delay(chain: Market) -> None:
    order = chain.order(CLIENT.address, 13, promise_by=2**40, final_by=2**40)
    award = chain.award(order, PROVER.address)
    with pytest.raises(AuthorityRefusal, match="NotClient"):
        chain.send(RIVAL, bindings.request_cancel(order))
    chain.send(CLIENT, bindings.request_cancel(order))
    effective_at = chain.now() + WITHDRAWAL_DELAY
    assert chain.state(order).cancelled_from == effective_at
    settle = bindings.settle(chain.settlement(CLIENT, order, award, PROVER.address))
    chain.set_time(effective_at - 1)
    chain.view(settle, PROVER.address)
    chain.set_time(effective_at)
    for data in (settle, bindings.lock(order, award, CLIENT.sign(chain.network, award))):
        with pytest.raises(StateRefusal, match="AlreadyCancelled"):
            chain.send(PROVER, data)


def test_withdrawal_waits_and_pays_what_is_left(chain: Market) -> None:
    chain.send(CLIENT, bindings.request_withdraw(ETHER))
    with pytest.raises(DeadlineRefusal, match="WithdrawalNotReady"):
        chain.send(CLIENT, bindings.withdraw(VERIFIER.address))
    order = chain.order(CLIENT.address, 14)
    award = chain.award(order, PROVER.address)
    chain.send(PROVER, bindings.settle(chain.settlement(CLIENT, order, award, PROVER.address)))
    chain.set_time(chain.now() + WITHDRAWAL_DELAY)
    target = b"\x77" * 20
    chain.send(CLIENT, bindings.withdraw(target))
    paid = chain.rpc.quantity("eth_getBalance", "0x" + target.hex(), "latest")
    assert (paid, chain.balance(CLIENT.address)) == (ETHER - 10_007 - 1001, 0)
    with pytest.raises(StateRefusal, match="NoWithdrawalRequested"):
        chain.send(CLIENT, bindings.withdraw(target))


def test_unfunded_client_is_named(chain: Market) -> None:
    order = chain.order(VERIFIER.address, 15)
    award = chain.award(order, PROVER.address)
    settlement = chain.settlement(VERIFIER, order, award, PROVER.address)
    with pytest.raises(FundsRefusal, match="InsufficientBalance"):
        chain.send(PROVER, bindings.settle(settlement))


def test_dev_programs_are_refused_without_allow_dev(chain: Market) -> None:
    creation = bindings.deploy_escrow(chain.deployment.registry, False, WITHDRAWAL_DELAY)
    escrow = bytes.fromhex(chain.rpc.transact(PROVER, None, creation)["contractAddress"][2:])
    strict = replace(
        chain,
        deployment=replace(chain.deployment, escrow=escrow),
        network=Network(chain_id=chain.network.chain_id, escrow=escrow),
    )
    strict.send(CLIENT, bindings.deposit(), ETHER)
    order = strict.order(CLIENT.address, 16)
    award = strict.award(order, PROVER.address)
    settlement = strict.settlement(CLIENT, order, award, PROVER.address)
    with pytest.raises(TermsRefusal, match="DevProgramRefused"):
        strict.send(PROVER, bindings.settle(settlement))


def test_sixty_four_single_bit_changes_of_a_proof_and_its_statement_revert(chain: Market) -> None:
    program = tiny_program()
    inputs = [COMMITMENT, OUTPUT, 12345]
    proof = program.prove(12345)
    verifier = chain.deployment.verifier
    chain.rpc.eth_call(verifier, bindings.verify(program.vk, inputs, proof))
    bits = random.Random(64)
    for bit in bits.sample(range(2048), 64):
        changed = bytearray(proof)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(ProofRefusal):
            chain.rpc.eth_call(verifier, bindings.verify(program.vk, inputs, bytes(changed)))
    for bit in bits.sample(range(3 * 256), 64):
        other = list(inputs)
        other[bit // 256] ^= 1 << (bit % 256)
        with pytest.raises(ProofRefusal):
            chain.rpc.eth_call(verifier, bindings.verify(program.vk, other, proof))


def test_registry_takes_the_same_program_and_model_again(chain: Market) -> None:
    program = tiny_program()
    registry = chain.deployment.registry
    again = bindings.register_program(GROTH16_BN254, program.vk, LAYOUT, SETUP_ID, True)
    assert chain.rpc.eth_call(registry, again) == program.program_id
    assert chain.register(PROVER, again)["logs"] == []
    answer = chain.rpc.eth_call(registry, bindings.verifying_key_of(program.program_id))
    assert bindings.decode_verifying_key(answer) == program.vk
    answer = chain.rpc.eth_call(registry, bindings.model_of(chain.model_id))
    assert bindings.decode_model(answer) == (PUBLISHER, model_record(program.program_id))
    answer = chain.rpc.eth_call(registry, bindings.royalty_of(chain.model_id))
    assert bindings.decode_royalty(answer) == (PUBLISHER, 250)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"program_id": b"\x01" * 32}, "UnknownProgram"),
        ({"parent_model": b"\x01" * 32}, "UnknownModel"),
        ({"royalty_bps": 5001}, "RoyaltyTooHigh"),
    ],
)
def test_models_that_the_registry_refuses(chain: Market, changes: dict[str, object], reason: str) -> None:
    record = replace(model_record(tiny_program().program_id), **changes)  # type: ignore[arg-type]
    with pytest.raises(RegistrationRefusal, match=reason):
        chain.register(PROVER, bindings.publish_model(record))


def test_publishers_advise_on_their_own_models_and_lineage_is_one_call(chain: Market) -> None:
    registry, publisher = chain.deployment.registry, account("publisher")
    ids = [chain.model_id]
    for version in range(3):
        record = replace(model_record(tiny_program().program_id), parent_model=ids[-1], uri=f"v{version}")
        chain.register(publisher, bindings.publish_model(record))
        ids.append(bindings.model_id(PUBLISHER, record))
    for limit in (0, 2, 4, 9):
        found = bindings.decode_lineage(chain.rpc.eth_call(registry, bindings.lineage_of(ids[-1], limit)))
        assert found == tuple(reversed(ids))[:limit]
    assert bindings.decode_lineage(chain.rpc.eth_call(registry, bindings.lineage_of(b"\x09" * 32, 5))) == ()
    with pytest.raises(AuthorityRefusal, match="NotPublisher"):
        chain.register(PROVER, bindings.advise(ids[0], Advice.BROKEN, bytes(32), "no"))
    for model, successor in ((b"\x09" * 32, bytes(32)), (ids[0], b"\x09" * 32)):
        with pytest.raises(RegistrationRefusal, match="UnknownModel"):
            chain.register(publisher, bindings.advise(model, Advice.BROKEN, successor, "no"))
    receipt = chain.register(publisher, bindings.advise(ids[0], Advice.SUPERSEDED, ids[1], "retrained"))
    (log,) = receipt["logs"]
    topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
    event = decode_event(topics, bytes.fromhex(log["data"][2:]))
    assert event == Advised(ids[0], Advice.SUPERSEDED, ids[1], "retrained")
    answer = chain.rpc.eth_call(registry, bindings.advice_of(ids[0]))
    assert bindings.decode_advice(answer) == (Advice.SUPERSEDED, ids[1])
    chain.register(publisher, bindings.advise(ids[0], Advice.BROKEN, bytes(32), "wrong labels"))
    answer = chain.rpc.eth_call(registry, bindings.advice_of(ids[0]))
    assert bindings.decode_advice(answer) == (Advice.BROKEN, bytes(32))


def test_a_settlement_tells_which_model_was_executed(chain: Market) -> None:
    order = chain.order(CLIENT.address, 30, model_id=chain.model_id, royalty_bps=250)
    award = chain.award(order, PROVER.address)
    data = bindings.settle(chain.settlement(CLIENT, order, award, VERIFIER.address))
    chain.send(VERIFIER, data)
    event = [event for event in chain.events() if isinstance(event, Settled)][-1]
    assert (event.program_id, event.payment.publisher) == (order.program_id, PUBLISHER)
    (settlement,) = decode_settlements(chain.network, data)
    assert settlement.order.model_id == chain.model_id


def _key(at: int, *words: int) -> tuple[int, ...]:
    vk = tiny_program().vk
    return (*vk[:at], *words, *vk[at + len(words) :])


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (lambda: tiny_program().vk[:18], "WrongKeyLength"),
        (lambda: tiny_program().vk[:-1], "WrongKeyLength"),
        (lambda: tiny_program().vk * 40, "WrongKeyLength"),
        (lambda: _key(0, 0, 0), "KeyPointAtInfinity"),
        (lambda: _key(2, 0, 0, 0, 0), "KeyPointAtInfinity"),
        (lambda: _key(20, 0, 0), "KeyPointAtInfinity"),
        (lambda: _key(0, 1, 1), "KeyPointNotOnCurve"),
        (lambda: _key(16, *tiny_program().vk[14:16]), "KeyPointRepeated"),
        (lambda: _key(10, *tiny_program().vk[6:10]), "KeyPointRepeated"),
        (lambda: _key(2, 1, 2, 3, 4), "KeyGroup2Invalid"),
        (lambda: _key(14, 2**256 - 1), "KeyNotInField"),
    ],
)  # fmt: skip
def test_keys_that_the_registry_refuses(
    chain: Market, key: Callable[[], tuple[int, ...]], reason: str
) -> None:
    data = bindings.register_program(GROTH16_BN254, key(), LAYOUT, SETUP_ID, True)
    with pytest.raises(RegistrationRefusal, match=reason):
        chain.register(PROVER, data)


def test_events_alone_give_every_balance(chain: Market) -> None:
    order, award = _locked(chain, 20)
    chain.set_time(award.promise_at + 1)
    chain.send(PROVER, bindings.settle(chain.settlement(CLIENT, order, award, PROVER.address)))
    second = chain.order(CLIENT.address, 21, model_id=chain.model_id, royalty_bps=250)
    chosen = chain.award(second, RIVAL.address)
    chain.send(VERIFIER, bindings.settle(chain.settlement(CLIENT, second, chosen, VERIFIER.address)))
    _events_give_every_balance(chain)


def _events_give_every_balance(chain: Market) -> None:
    ledger: defaultdict[bytes, int] = defaultdict(int)
    for event in chain.events():
        for owner, change in balance_changes(event):
            ledger[owner] += change
    for owner, amount in ledger.items():
        assert chain.balance(owner) == amount
    assert sum(ledger.values()) == chain.held() == bindings.decode_number(chain.view(bindings.total()))


def _locked(chain: Market, salt: int, **changes: object) -> tuple[Order, Award]:
    order = chain.order(CLIENT.address, salt)
    award = chain.award(order, PROVER.address, **changes)
    chain.send(PROVER, bindings.lock(order, award, CLIENT.sign(chain.network, award)))
    return order, award
