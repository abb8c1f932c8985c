# SPDX-License-Identifier: GPL-3.0-or-later
"""A program of another proof system on a real chain: what the bindings send, and what is read back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from escrow_market import COMMITMENT, ETHER, OUTPUT, Market, account, market
from external_program import External, hash_proof, register_external

from contracts import bindings, packing
from contracts.events import Settled, VerifierRegistered, decode_event
from contracts.packing import BatchJob
from contracts.records import Settlement, Status
from protocol.errors import ProofRefusal, RegistrationRefusal, StateRefusal, TermsRefusal
from protocol.statement import EXTERNAL_VERIFIER, GROTH16_BN254, external_program_id
from protocol.structs import Award, Order

CLIENT, PROVER, VERIFIER = map(account, ("client", "prover", "verifier"))


@pytest.fixture(scope="module")
def chain() -> Iterator[Market]:
    with market(("client", "prover", "verifier")) as running:
        for each in (CLIENT, PROVER):
            running.send(each, bindings.deposit(), ETHER)
        yield running


@pytest.fixture(scope="module")
def external(chain: Market) -> External:
    return register_external(chain)


def _job(chain: Market, external: External, salt: int) -> tuple[Order, Award]:
    order = chain.order(
        CLIENT.address, salt, program_id=external.program_id, model_id=external.model_id, royalty_bps=250
    )
    return order, chain.award(order, PROVER.address)


def _locked(chain: Market, external: External, salt: int) -> tuple[Order, Award]:
    order, award = _job(chain, external, salt)
    chain.send(PROVER, bindings.lock(order, award, CLIENT.sign(chain.network, award)))
    return order, award


def _groth16_shaped(chain: Market, order: Order, award: Award) -> Settlement:
    return Settlement(order, award, CLIENT.sign(chain.network, award), bytes(256), (OUTPUT,), VERIFIER.address)


def test_another_proof_system_is_registered_locked_and_settled(chain: Market, external: External) -> None:
    registry = chain.deployment.registry
    answer = chain.rpc.eth_call(registry, bindings.verifier_of(external.program_id))
    assert bindings.decode_verifier(answer) == (external.verifier, external.code_hash)
    program = bindings.decode_program(chain.rpc.eth_call(registry, bindings.program_of(external.program_id)))
    assert (program.proof_system, program.key_pointer) == (EXTERNAL_VERIFIER, external.verifier)
    order, award = _locked(chain, external, 1)
    before = chain.balance(PROVER.address)
    proof = hash_proof((COMMITMENT, OUTPUT))
    chain.send(VERIFIER, bindings.settle_external(order, award, (OUTPUT,), proof))
    assert chain.state(order).status is Status.SETTLED
    event = [event for event in chain.events() if isinstance(event, Settled)][-1]
    royalty = award.price * 250 // 10_000
    assert (event.program_id, event.outputs) == (external.program_id, (OUTPUT,))
    assert (event.payment.fee_to, event.payment.royalty) == (PROVER.address, royalty)
    assert chain.balance(PROVER.address) == before + award.price - royalty + order.verifier_fee + order.collateral


def test_its_events_and_ids_are_read_as_the_registry_writes_them(chain: Market, external: External) -> None:
    receipt: dict[str, Any] = chain.register(
        PROVER, bindings.register_verifier(external.verifier, b"\x07" * 32, b"\x08" * 32, False)
    )
    (log,) = receipt["logs"]
    topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
    identity = external_program_id(external.verifier, external.code_hash, b"\x07" * 32, b"\x08" * 32, False)
    assert decode_event(topics, bytes.fromhex(log["data"][2:])) == VerifierRegistered(
        identity, PROVER.address, external.verifier, external.code_hash, b"\x07" * 32, b"\x08" * 32, False
    )


def test_its_proofs_are_taken_from_their_lock_alone(chain: Market, external: External) -> None:
    order, award = _job(chain, external, 2)
    good = hash_proof((COMMITMENT, OUTPUT))
    with pytest.raises(StateRefusal, match="NotLocked"):
        chain.send(PROVER, bindings.settle_external(order, award, (OUTPUT,), good))
    with pytest.raises(TermsRefusal, match="AnotherProofSystem"):
        chain.send(PROVER, bindings.settle(_groth16_shaped(chain, order, award)))
    order, award = _locked(chain, external, 3)
    with pytest.raises(ProofRefusal, match="ExternalProofInvalid"):
        chain.send(PROVER, bindings.settle_external(order, award, (OUTPUT + 1,), good))
    other = chain.order(CLIENT.address, 4)
    paid = chain.settlement(CLIENT, other, chain.award(other, PROVER.address), VERIFIER.address)
    jobs = [BatchJob(_groth16_shaped(chain, order, award)), BatchJob(paid)]
    answer = chain.view(packing.settle_batch(jobs), VERIFIER.address)
    assert packing.refusals_of(answer) == ("AnotherProofSystem", None)
    chain.send(VERIFIER, packing.settle_batch(jobs))
    assert (chain.state(order).status, chain.state(other).status) == (Status.LOCKED, Status.SETTLED)


def test_an_account_that_delegates_its_code_verifies_nothing(chain: Market, external: External) -> None:
    """EIP-7702: the account takes the code back whenever it likes."""
    delegating = "0x" + account("delegating").address.hex()
    chain.rpc.call("anvil_setCode", delegating, "0xef0100" + external.verifier.hex())
    for none in (bytes.fromhex(delegating[2:]), CLIENT.address, chain.deployment.registry):
        with pytest.raises(RegistrationRefusal, match="VerifierRefused"):
            chain.register(PROVER, bindings.register_verifier(none, bytes(32), bytes(32), False))


def test_it_has_no_verifying_key_and_groth16_no_verifier(chain: Market, external: External) -> None:
    registry = chain.deployment.registry
    groth16 = chain.order(CLIENT.address, 5).program_id
    found = bindings.decode_program(chain.rpc.eth_call(registry, bindings.program_of(groth16)))
    assert found.proof_system == GROTH16_BN254
    for data in (bindings.verifying_key_of(external.program_id), bindings.verifier_of(groth16)):
        with pytest.raises(RegistrationRefusal, match="UnknownProgram"):
            chain.rpc.eth_call(registry, data)
