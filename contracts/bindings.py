# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed call data for every function of the contracts, and what their views answer. No I/O.

Results are parsed by the `decode_*` functions, which raise ValueError on data of another shape: the
chain node is somebody else's program. Events are in contracts/events.py, refusals in contracts/reverts.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from eth_abi.abi import encode

from contracts.abi import artifact as _artifact
from contracts.abi import call_data, decode_result, decode_values, deployment_data
from contracts.packing import pack_single
from contracts.records import Advice, ModelRecord, OrderState, Program, Settlement, Status
from protocol.hashing import keccak256
from protocol.structs import Award, Order

PROOF_BYTES = 256

# --- Escrow -------------------------------------------------------------------------------------


def deposit() -> bytes:
    """Call data of `deposit()`; the transaction's value is the amount."""
    return call_data("Escrow", "deposit")


def deposit_for(account: bytes) -> bytes:
    """Call data of `depositFor(account)`; the transaction's value is the amount."""
    return call_data("Escrow", "depositFor", account)


def request_withdraw(amount_wei: int) -> bytes:
    """Call data of `requestWithdraw(amount)`; zero takes a request back."""
    return call_data("Escrow", "requestWithdraw", amount_wei)


def withdraw(to: bytes) -> bytes:
    """Call data of `withdraw(to)`."""
    return call_data("Escrow", "withdraw", to)


def deposit_token(token: bytes, account: bytes, amount: int) -> bytes:
    """Call data of `depositToken(token, account, amount)`; the sender has approved the Escrow before."""
    return call_data("Escrow", "depositToken", token, account, amount)


def request_withdraw_token(token: bytes, amount: int) -> bytes:
    """Call data of `requestWithdrawToken(token, amount)`; zero takes a request back."""
    return call_data("Escrow", "requestWithdrawToken", token, amount)


def withdraw_token(token: bytes, to: bytes) -> bytes:
    """Call data of `withdrawToken(token, to)`."""
    return call_data("Escrow", "withdrawToken", token, to)


def submit(order: Order) -> bytes:
    """Call data of `submit(order)`; only the client, a contract, can send it."""
    return call_data("Escrow", "submit", order_tuple(order))


def release(order: Order, locking: Award) -> bytes:
    """Call data of `release(order, locking)`; only the locking award's prover can send it."""
    return call_data("Escrow", "release", order_tuple(order), award_tuple(locking))


def claim(order: Order, inputs: Sequence[int]) -> bytes:
    """Call data of `claim(order, inputs)`: the whole statement, from commitment to binding."""
    return call_data("Escrow", "claim", order_tuple(order), list(inputs))


def request_cancel(order: Order) -> bytes:
    """Call data of `requestCancel(order)`."""
    return call_data("Escrow", "requestCancel", order_tuple(order))


def lock(order: Order, award: Award, signature: bytes) -> bytes:
    """Call data of `lockPacked(packed)`; only the award's prover can send it. `lock(order, award, signature)` does
    the same for twice the call data."""
    return call_data("Escrow", "lockPacked", pack_single(order, award) + signature)


def settle(settlement: Settlement) -> bytes:
    """Call data of `settle(settlement)`: direct, or by the award that locked."""
    return call_data("Escrow", "settle", settlement_tuple(settlement))


def settle_voided(settlement: Settlement, locking: Award) -> bytes:
    """Call data of `settleVoided(settlement, locking)`: by another award after a missed promise."""
    return call_data("Escrow", "settleVoided", settlement_tuple(settlement), award_tuple(locking))


def settle_external(order: Order, award: Award, outputs: Sequence[int], proof: bytes) -> bytes:
    """Call data of `settleExternal(...)`: a proof of another proof system, by the award that locked."""
    return call_data(
        "Escrow", "settleExternal", order_tuple(order), award_tuple(award), list(outputs), proof
    )


def expire(order: Order, locking: Award) -> bytes:
    """Call data of `expirePacked(packed)`, which does what `expire(order, locking)` does."""
    return call_data("Escrow", "expirePacked", pack_single(order, locking))


def balance_of(account: bytes) -> bytes:
    """Call data of `balanceOf(account)`; decode with `decode_number`."""
    return call_data("Escrow", "balanceOf", account)


def token_balance_of(token: bytes, account: bytes) -> bytes:
    """Call data of `tokenBalanceOf(token, account)`; decode with `decode_number`."""
    return call_data("Escrow", "tokenBalanceOf", token, account)


def total_of(token: bytes) -> bytes:
    """Call data of `totalOf(token)`; decode with `decode_number`."""
    return call_data("Escrow", "totalOf", token)


def flags_of(order_hash: bytes) -> bytes:
    """Call data of `flagsOf(orderHash)`; decode with `decode_flags`."""
    return call_data("Escrow", "flagsOf", order_hash)


def pending_withdrawal_of(account: bytes) -> bytes:
    """Call data of `pendingWithdrawalOf(account)`; decode with `decode_pending_withdrawal`."""
    return call_data("Escrow", "pendingWithdrawalOf", account)


def total() -> bytes:
    """Call data of `total()`; decode with `decode_number`."""
    return call_data("Escrow", "total")


def state_of(order_hash: bytes) -> bytes:
    """Call data of `stateOf(orderHash)`; decode with `decode_state`."""
    return call_data("Escrow", "stateOf", order_hash)


def order_digest(order: Order) -> bytes:
    """Call data of `orderDigest(order)`; decode with `decode_hash`."""
    return call_data("Escrow", "orderDigest", order_tuple(order))


def award_digest(award: Award) -> bytes:
    """Call data of `awardDigest(award)`; decode with `decode_hash`."""
    return call_data("Escrow", "awardDigest", award_tuple(award))


def binding(order_hash: bytes, payout: bytes, settler: bytes) -> bytes:
    """Call data of `binding(orderHash, payout, settler)`; decode with `decode_number`."""
    return call_data("Escrow", "binding", order_hash, payout, settler)


def withdrawal_delay() -> bytes:
    """Call data of `withdrawalDelay()` (seconds); decode with `decode_number`."""
    return call_data("Escrow", "withdrawalDelay")


def allow_dev() -> bytes:
    """Call data of `allowDev()`; decode with `decode_number`."""
    return call_data("Escrow", "allowDev")


def registry() -> bytes:
    """Call data of `registry()`; decode with `decode_address`."""
    return call_data("Escrow", "registry")


# --- Registry -----------------------------------------------------------------------------------


def register_program(
    proof_system: int, vk: Sequence[int], layout: bytes, setup_id: bytes, dev: bool
) -> bytes:
    """Call data of `registerProgram(...)`; `vk` is the word list of docs/adr/0001."""
    return call_data("Registry", "registerProgram", proof_system, list(vk), layout, setup_id, dev)


def register_verifier(verifier: bytes, layout: bytes, setup_id: bytes, dev: bool) -> bytes:
    """Call data of `registerVerifier(...)`: a program of another proof system, by the contract that verifies it."""
    return call_data("Registry", "registerVerifier", verifier, layout, setup_id, dev)


def verifier_of(program_id: bytes) -> bytes:
    """Call data of `verifierOf(programId)`; decode with `decode_verifier`."""
    return call_data("Registry", "verifierOf", program_id)


def require_proven(program_id: bytes, inputs: Sequence[int], proof: bytes) -> bytes:
    """Call data of `requireProven(programId, inputs, proof)`: reverts unless the program's verifier says yes."""
    return call_data("Registry", "requireProven", program_id, list(inputs), proof)


def publish_model(record: ModelRecord) -> bytes:
    """Call data of `publishModel(record)`; the sender becomes the publisher."""
    return call_data("Registry", "publishModel", astuple(record))


def program_of(program_id: bytes) -> bytes:
    """Call data of `programOf(programId)`; decode with `decode_program`."""
    return call_data("Registry", "programOf", program_id)


def verifying_key_of(program_id: bytes) -> bytes:
    """Call data of `verifyingKeyOf(programId)`; decode with `decode_verifying_key`."""
    return call_data("Registry", "verifyingKeyOf", program_id)


def model_of(model_id: bytes) -> bytes:
    """Call data of `modelOf(modelId)`; decode with `decode_model`."""
    return call_data("Registry", "modelOf", model_id)


def advise(model: bytes, advice: Advice, successor: bytes, reason: str) -> bytes:
    """Call data of `advise(...)`: the publisher's word on its own model; a zero successor is none."""
    return call_data("Registry", "advise", model, int(advice), successor, reason)


def advice_of(model: bytes) -> bytes:
    """Call data of `adviceOf(modelId)`; decode with `decode_advice`."""
    return call_data("Registry", "adviceOf", model)


def lineage_of(model: bytes, limit: int) -> bytes:
    """Call data of `lineageOf(modelId, limit)`; decode with `decode_lineage`."""
    return call_data("Registry", "lineageOf", model, limit)


def royalty_of(model_id: bytes) -> bytes:
    """Call data of `royaltyOf(modelId)`; decode with `decode_royalty`."""
    return call_data("Registry", "royaltyOf", model_id)


def terms_of(model_id: bytes) -> bytes:
    """Call data of `termsOf(modelId)`; decode with `decode_terms`."""
    return call_data("Registry", "termsOf", model_id)


def model_id(publisher: bytes, record: ModelRecord) -> bytes:
    """Return `keccak256(abi.encode(publisher, record))`, as the Registry computes it."""
    (record_type,) = _artifact("Registry").functions["publishModel"].inputs
    return keccak256(encode(("address", record_type), (publisher, astuple(record))))


# --- Groth16Verifier and deployment ---------------------------------------------------------------


def verify(vk: Sequence[int], inputs: Sequence[int], proof: bytes) -> bytes:
    """Call data of the verifier's `verify(vk, inputs, proof)`: reverts unless the proof is valid."""
    return call_data("Groth16Verifier", "verify", list(vk), list(inputs), proof_words(proof))


def borrow_with_proof(inputs: Sequence[int], proof: bytes, expires_at: int, attestation: bytes) -> bytes:
    """Call data of a CreditGate's `borrowWithProof`: a loan for the sender, by its own proof of attested data."""
    return call_data("CreditGate", "borrowWithProof", list(inputs), proof_words(proof), expires_at, attestation)


def deploy_registry() -> bytes:
    """Data of the transaction that creates the Registry."""
    return deployment_data("Registry")


def deploy_verifier() -> bytes:
    """Data of the transaction that creates the Groth16Verifier."""
    return deployment_data("Groth16Verifier")


def deploy_ezkl_adapter(verifier: bytes, verifier_code_hash: bytes, key: Sequence[int] = ()) -> bytes:
    """Data of the transaction that creates an EzklAdapter; `key` is what a reusable verifier is given."""
    return deployment_data("EzklAdapter", verifier, verifier_code_hash, list(key))


def deploy_token_desk(escrow: bytes) -> bytes:
    """Data of the transaction that creates a TokenDesk for an Escrow."""
    return deployment_data("TokenDesk", escrow)


def deploy_credit_gate(
    escrow: bytes, registry_address: bytes, program: bytes, result: Sequence[int], issuer: bytes, loan_wei: int
) -> bytes:
    """Data of the transaction that creates a CreditGate; `result` is what earns a loan, between commitment and
    binding. Its value is the pool's first money."""
    return deployment_data("CreditGate", escrow, registry_address, program, list(result), issuer, loan_wei)


def deploy_escrow(registry_address: bytes, allow_dev: bool, withdrawal_delay_seconds: int) -> bytes:
    """Data of the transaction that creates the Escrow."""
    return deployment_data("Escrow", registry_address, allow_dev, withdrawal_delay_seconds)


# --- answers --------------------------------------------------------------------------------------


def decode_number(data: bytes) -> int:
    """Return the number that a view answered."""
    (value,) = decode_values(("uint256",), data)
    return int(value)


def decode_hash(data: bytes) -> bytes:
    """Return the 32 bytes that a view answered."""
    (value,) = decode_values(("bytes32",), data)
    return bytes(value)


def decode_address(data: bytes) -> bytes:
    """Return the 20-byte address that a view answered."""
    (value,) = decode_values(("address",), data)
    return bytes(value)


def decode_state(data: bytes) -> OrderState:
    """Return what `stateOf` answered."""
    status, content = decode_result("Escrow", "stateOf", data)
    return OrderState(Status(status), content)


def decode_flags(data: bytes) -> tuple[bool, bool]:
    """Return (the client submitted the order on-chain, the consumer took its statement)."""
    submitted, delivered = decode_result("Escrow", "flagsOf", data)
    return bool(submitted), bool(delivered)


def decode_pending_withdrawal(data: bytes) -> tuple[int, int]:
    """Return (amount in wei, first second at which it can be withdrawn)."""
    amount, available_at = decode_result("Escrow", "pendingWithdrawalOf", data)
    return int(amount), int(available_at)


def decode_program(data: bytes) -> Program:
    """Return what `programOf` answered."""
    (fields,) = decode_result("Registry", "programOf", data)
    return Program(*fields)


def decode_verifying_key(data: bytes) -> tuple[int, ...]:
    """Return the word list that `verifyingKeyOf` answered."""
    (words,) = decode_result("Registry", "verifyingKeyOf", data)
    return tuple(words)


def decode_verifier(data: bytes) -> tuple[bytes, bytes]:
    """Return (the contract that verifies the program, the hash of the code that it must have)."""
    verifier, code_hash = decode_result("Registry", "verifierOf", data)
    return bytes(verifier), bytes(code_hash)


def decode_model(data: bytes) -> tuple[bytes, ModelRecord]:
    """Return (publisher, record)."""
    publisher, fields = decode_result("Registry", "modelOf", data)
    return publisher, ModelRecord(*fields)


def decode_advice(data: bytes) -> tuple[Advice, bytes]:
    """Return (what the publisher advises, the model to use instead, zero for none)."""
    advice, successor = decode_result("Registry", "adviceOf", data)
    return Advice(advice), successor


def decode_lineage(data: bytes) -> tuple[bytes, ...]:
    """Return a model and its ancestors, newest first."""
    (ids,) = decode_result("Registry", "lineageOf", data)
    return tuple(ids)


def decode_royalty(data: bytes) -> tuple[bytes, int]:
    """Return (publisher, share of the price in basis points); zeros for an unknown model."""
    publisher, royalty_bps = decode_result("Registry", "royaltyOf", data)
    return publisher, int(royalty_bps)


def decode_terms(data: bytes) -> tuple[bytes, bytes, int]:
    """Return (program, publisher, share of the price in basis points); zeros for an unknown model."""
    program, publisher, royalty_bps = decode_result("Registry", "termsOf", data)
    return program, publisher, int(royalty_bps)


# --- structs as the ABI takes them ------------------------------------------------------------------


def order_tuple(order: Order) -> tuple[object, ...]:
    """Return the fields of an Order in the order of the Solidity struct."""
    fields = {name: getattr(order, name) for name in type(order).model_fields}
    fields["input_commitment"] = order.input_commitment.to_bytes(32, "big")
    return tuple(fields.values())


def award_tuple(award: Award) -> tuple[object, ...]:
    """Return the fields of an Award in the order of the Solidity struct."""
    return tuple(getattr(award, name) for name in type(award).model_fields)


def order_from_tuple(fields: Sequence[object]) -> Order:
    """Return the Order of decoded fields; `inputCommitment` is a `bytes32` on the chain."""
    return Order.model_validate(dict(zip(Order.model_fields, fields, strict=True)))


def settlement_tuple(settlement: Settlement) -> tuple[object, ...]:
    """Return the fields of a Settlement in the order of the Solidity struct."""
    return (
        order_tuple(settlement.order),
        award_tuple(settlement.award),
        settlement.signature,
        proof_words(settlement.proof),
        list(settlement.outputs),
        settlement.settler,
    )


def proof_words(proof: bytes) -> list[int]:
    """Return the eight words of a proof.

    Raises:
        ValueError: it has not 256 bytes.
    """
    if len(proof) != PROOF_BYTES:
        raise ValueError(f"a proof has {PROOF_BYTES} bytes, not {len(proof)}")
    return [int.from_bytes(proof[start : start + 32], "big") for start in range(0, PROOF_BYTES, 32)]
