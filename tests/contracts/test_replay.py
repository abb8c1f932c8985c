# SPDX-License-Identifier: GPL-3.0-or-later
"""What was signed or proved once is worth nothing a second time, on another chain, or for another deployment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from escrow_market import ETHER, WITHDRAWAL_DELAY, Market, account, market, tiny_program
from py_ecc.fields import optimized_bn128_FQ as FQ
from py_ecc.fields import optimized_bn128_FQ2 as FQ2
from py_ecc.optimized_bn128.optimized_curve import add, multiply, normalize

from contracts import bindings
from contracts.deploy import deploy
from contracts.deployment import Terms
from protocol.eip712 import digest
from protocol.errors import AuthorityRefusal, ProofRefusal, StateRefusal, TermsRefusal
from protocol.structs import Award, Network, Order

CLIENT, PROVER, RIVAL, VERIFIER = (account(name) for name in ("client", "prover", "rival", "verifier"))


@pytest.fixture(scope="module")
def opened() -> Iterator[Market]:
    with market(("client", "prover", "rival", "verifier")) as chain:
        for each in (CLIENT, PROVER, RIVAL):
            chain.send(each, bindings.deposit(), ETHER)
        yield chain


@pytest.fixture
def chain(opened: Market) -> Iterator[Market]:
    snapshot, chain_id = opened.rpc.call("evm_snapshot"), opened.network.chain_id
    yield opened
    opened.rpc.call("anvil_setChainId", chain_id)
    assert opened.rpc.call("evm_revert", snapshot)


def agreed(chain: Market, salt: int) -> tuple[Order, Award]:
    order = chain.order(CLIENT.address, salt)
    return order, chain.award(order, PROVER.address)


def test_after_a_fork_what_was_signed_before_is_void_on_the_branch_with_a_new_id(chain: Market) -> None:
    order, award = agreed(chain, 1)
    settlement = chain.settlement(CLIENT, order, award, VERIFIER.address)
    lock = bindings.lock(order, award, CLIENT.sign(chain.network, award))
    fork = Network(chain_id=chain.network.chain_id + 1, escrow=chain.network.escrow)
    chain.rpc.call("anvil_setChainId", fork.chain_id)
    for sender, data in ((PROVER, lock), (VERIFIER, bindings.settle(settlement))):
        with pytest.raises((TermsRefusal, AuthorityRefusal), match=r"AwardForAnotherOrder|BadSignature"):
            chain.send(sender, data)
    # Even with the new order's hash filled in, the signature is of the old chain.
    again = Award(**{**award.model_dump(), "order_hash": digest(fork, order)})
    with pytest.raises(AuthorityRefusal, match="BadSignature"):
        chain.send(PROVER, bindings.lock(order, again, CLIENT.sign(chain.network, again)))
    # A proof is bound to the old order, too.
    signed = replace(settlement, award=again, signature=CLIENT.sign(fork, again))
    with pytest.raises(ProofRefusal, match="ProofInvalid"):
        chain.send(VERIFIER, bindings.settle(signed))
    chain.send(PROVER, bindings.lock(order, again, CLIENT.sign(fork, again)))


def test_another_deployment_takes_neither_signature_nor_proof(chain: Market) -> None:
    order, award = agreed(chain, 2)
    settlement = chain.settlement(CLIENT, order, award, VERIFIER.address)
    other = deploy(chain.url, account("publisher"), Terms(True, WITHDRAWAL_DELAY, b"\x01" * 32))
    data = bindings.register_program(1, tiny_program().vk, bytes.fromhex("11" * 32), bytes.fromhex("22" * 32), True)
    chain.rpc.transact(account("publisher"), other.registry, data)
    chain.rpc.transact(CLIENT, other.escrow, bindings.deposit(), ETHER)
    there = Network(chain_id=other.chain_id, escrow=other.escrow)
    again = Award(**{**award.model_dump(), "order_hash": digest(there, order)})
    unsigned, signed = (
        replace(settlement, award=again),
        replace(settlement, award=again, signature=CLIENT.sign(there, again)),
    )
    for made, refusal, reason in (
        (settlement, TermsRefusal, "AwardForAnotherOrder"),
        (unsigned, AuthorityRefusal, "BadSignature"),
        (signed, ProofRefusal, "ProofInvalid"),
    ):
        with pytest.raises(refusal, match=reason):
            chain.rpc.transact(VERIFIER, other.escrow, bindings.settle(made))


def test_a_proof_changed_into_another_proof_of_the_statement_pays_the_same_accounts_once(chain: Market) -> None:
    order, award = agreed(chain, 3)
    settlement = chain.settlement(CLIENT, order, award, VERIFIER.address)
    changed = replace(settlement, proof=rerandomised(settlement.proof, 5))
    assert changed.proof != settlement.proof
    chain.send(RIVAL, bindings.settle(changed))
    assert chain.balance(PROVER.address) == ETHER + award.price + order.verifier_fee
    assert chain.balance(RIVAL.address) == ETHER
    for again in (settlement, replace(settlement, proof=rerandomised(settlement.proof, 7))):
        with pytest.raises(StateRefusal, match="AlreadySettled"):
            chain.send(RIVAL, bindings.settle(again))


def rerandomised(proof: bytes, scalar: int) -> bytes:
    """(A, B + s delta, C + s A): a proof of the same statement, from public data alone (Groth16 is malleable)."""
    words = [int.from_bytes(proof[i : i + 32]) for i in range(0, 256, 32)]
    a, b, c = _g1(words[0:2]), _g2(words[2:6]), _g1(words[6:8])
    delta = _g2(tiny_program().vk[10:14])
    x, y = normalize(add(b, multiply(delta, scalar)))
    last = normalize(add(c, multiply(a, scalar)))
    middle = (x.coeffs[1], x.coeffs[0], y.coeffs[1], y.coeffs[0])
    return b"".join(int(word).to_bytes(32) for word in (*words[:2], *middle, *last))


def _g1(words: list[int]) -> tuple[FQ, FQ, FQ]:
    return FQ(words[0]), FQ(words[1]), FQ(1)


def _g2(words: list[int] | tuple[int, ...]) -> tuple[FQ2, FQ2, FQ2]:
    """EIP-197 writes the imaginary part first."""
    return FQ2([words[1], words[0]]), FQ2([words[3], words[2]]), FQ2([1, 0])
