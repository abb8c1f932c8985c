# SPDX-License-Identifier: GPL-3.0-or-later
"""Bugs to be planted in the contracts and in their model (contracts/mutation.py), each of which a test must find."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One planted bug: `old` stands exactly once in the file and becomes `new`. `survives` says why no test can find
    it; it is then expected to survive."""

    file: str
    old: str
    new: str
    survives: str = ""

    @property
    def in_solidity(self) -> bool:
        """Whether it is in the contracts, not in their model."""
        return self.file.endswith(".sol")

    def planted(self, original: str) -> str:
        """The file's text with the bug in it."""
        if original.count(self.old) != 1:
            raise ValueError(f"{self.file} has {original.count(self.old)} times: {self.old}")
        return original.replace(self.old, self.new)


MUTANTS = (
    # Conservation (I1)
    Mutant("src/Settling.sol", "uint256 paid = price - royalty;", "uint256 paid = price;"),
    Mutant("src/Settling.sol", "uint256 burned = collateral - bounty;", "uint256 burned = collateral;"),
    Mutant("src/Settling.sol", "uint256 refunded = job.locking.price - job.price;", "uint256 refunded = 0;"),
    Mutant("src/Settling.sol", "_credit(order.token, order.client, refunded);", ""),
    Mutant("src/Settling.sol", "_write(context.royalties);", ""),
    Mutant("src/Settling.sol", "client == context.fees.account || client == context.royalties.account", "price == 0"),
    Mutant("src/Vault.sol", "tally.amount = 0;", ""),
    Mutant("src/Vault.sol", "place := keccak256(12, 40)", "place := keccak256(12, 20)"),
    Mutant("src/Vault.sol", "_totals[token] -= amount;", ""),
    # Proof (I2)
    Mutant("src/Groth16Batch.sol", "if (!_pairing(pairs, used)) revert", "if (used == 0) revert"),
    Mutant("src/Groth16Batch.sol", "challenge := shr(2, keccak256(0, 64))", "challenge := 1"),
    Mutant("src/Groth16Batch.sol", "if iszero(lt(value, order)) { outside := input }", ""),
    Mutant("src/Groth16Batch.sol", "for (uint256 i = 0; i < count; i++) {", "for (uint256 i = 1; i < count; i++) {"),
    Mutant("src/Groth16Batch.sol", "if (!onCurve) revert", "if (p == 0) revert"),
    Mutant("src/Typed.sol", "orderHash, payout, settler))) >> 8;", "orderHash, settler))) >> 8;"),
    # Other proof systems (I2)
    Mutant("src/Terms.sol", "if (proofSystem != cache.proofSystem) return", "if (proofSystem > EXTERNAL) return"),
    Mutant(
        "src/Escrow.sol",
        "_unless(_lockedByRefusal(_digest(job.order), _entries[_digest(job.order)], job.award));",
        "",
    ),
    Mutant("src/Escrow.sol", "registry.requireProven(job.order.programId, inputs, proof);", ""),
    Mutant("src/Escrow.sol", "mstore(inputs, sub(length, 1))", ""),
    Mutant("src/ExternalProof.sol", "if (verifier.codehash != codeHash) revert", "if (codeHash == 0) revert"),
    Mutant("src/ExternalProof.sol", "|| head == bytes32(uint256(0xef))", ""),
    Mutant("src/ExternalProof.sol", "if (gasleft() < needed) revert", "if (gasleft() == 0) revert"),
    Mutant("src/ExternalProof.sol", "done := and(done, eq(returndatasize(), 32))", ""),
    Mutant("src/ExternalProof.sol", "|| answer != bytes32(IProofVerifier.proves.selector)", ""),
    Mutant("src/ExternalProof.sol", "staticcall(GAS, verifier,", "staticcall(gas(), verifier,"),
    Mutant("src/EzklAdapter.sol", "if (found != keyHash) revert", "if (found == 0) revert"),
    Mutant("src/EzklAdapter.sol", "(whole || ofKey == keyHash)", "(whole || ofKey != 0)"),
    Mutant("src/ProofConsumer.sol", "if (proofSystem != GROTH16_BN254) revert", "if (proofSystem == 0) revert"),
    Mutant("src/Escrow.sol", "(job.settler, job.inputs) = (award.payout,", "(job.settler, job.inputs) = (msg.sender,"),
    Mutant("src/Escrow.sol", "mstore(inputs, length)", ""),
    Mutant("src/Terms.sol", "if (proofSystem != GROTH16) return refusal;", ""),
    Mutant("src/Registry.sol", "keccak256(abi.encode(verifier, codeHash))", "keccak256(abi.encode(codeHash))"),
    Mutant("src/Registry.sol", "keccak256(abi.encode(verifier, codeHash))", "keccak256(abi.encode(verifier))"),
    Mutant("src/Registry.sol", "if (codeHash == 0) revert UnknownProgram(programId);", ""),
    Mutant("src/ExternalProof.sol", "verifier == address(this) ||", ""),
    Mutant("src/ExternalProof.sol", "verifier.code.length == 0 ||", ""),
    Mutant("src/ExternalProof.sol", "if (!done || answer", "if (answer"),
    Mutant("src/ExternalProof.sol", "uint256 needed = GAS * 64 / 63 + RESERVE;", "uint256 needed = GAS / 2 + RESERVE;"),
    Mutant("src/EzklAdapter.sol", "(verifier.codehash != verifierCodeHash)", "(verifierCodeHash == 0)"),
    Mutant("src/EzklAdapter.sol", "|| verifier_.codehash != verifierCodeHash_", ""),
    Mutant("src/EzklAdapter.sol", "eq(mload(0), 1)", "iszero(iszero(mload(0)))"),
    Mutant("src/EzklAdapter.sol", "return done && (whole", "return (whole"),
    # Once, and not both (I3, I4)
    Mutant(
        "src/Orders.sol",
        "if (status == Status.Settled) return",
        "if (status == Status.Settled && orderHash == 0) return",
    ),
    Mutant(
        "src/Orders.sol",
        "if (status == Status.Expired) return",
        "if (status == Status.Expired && orderHash == 0) return",
    ),
    # Whose consent (I5)
    Mutant("src/Signatures.sol", "NoError && recovered == signer", "NoError"),
    Mutant("src/Signatures.sol", "staticcall(WALLET_GAS, signer,", "staticcall(gas(), signer,"),
    Mutant("src/Vault.sol", "if (amount > type(uint128).max) revert AmountTooLarge(amount);", ""),
    Mutant("src/Vault.sol", "(block.timestamp < pending.availableAt)", "(pending.availableAt == 0)"),
    Mutant("src/Vault.sol", "pending.amount < balance ? pending.amount : balance", "balance"),
    Mutant("src/Vault.sol", "received = IERC20(token).balanceOf(address(this)) - before;", "received = amount;"),
    Mutant("src/Escrow.sol", "uint256 burned = order.collateral / RELEASE_DIVISOR;", "uint256 burned = 0;"),
    Mutant("src/Signatures.sol", "and(gt(returndatasize(), 31), eq(mload(0), magic))", "gt(returndatasize(), 31)"),
    Mutant("src/Escrow.sol", "if (msg.sender != award.prover) revert", "if (msg.sender == address(0)) revert"),
    Mutant("src/Escrow.sol", "if (msg.sender != locking.prover) revert", "if (msg.sender == address(0)) revert"),
    Mutant("src/Settling.sol", "if (job.award.prover != job.award.payout) {", "if (job.award.payout == address(0)) {"),
    Mutant("src/Settling.sol", "job.price = _priceOf(job.order);", ""),
    # Instants
    Mutant(
        "src/Escrow.sol",
        "if (block.timestamp <= order.finalBy) revert",
        "if (block.timestamp < order.finalBy) revert",
    ),
    Mutant(
        "src/Escrow.sol",
        "if (block.timestamp > award.lockBy) revert",
        "if (block.timestamp >= award.lockBy) revert",
    ),
    Mutant("src/Settling.sol", "if (block.timestamp <= until) return", "if (block.timestamp < until) return"),
    Mutant(
        "src/Settling.sol",
        "if (block.timestamp <= job.award.promiseAt) {",
        "if (block.timestamp < job.award.promiseAt) {",
    ),
    # Consumers
    Mutant("src/Callback.sol", "if (gasleft() < NEEDED) revert", "if (gasleft() == 0) revert"),
    Mutant("src/Callback.sol", "if (gasleft() < NEEDED) revert", "if (gasleft() + 40_000 < NEEDED) revert"),
    Mutant("src/Escrow.sol", "if (entry & DELIVERED != 0) revert", "if (entry == 0) revert"),
    Mutant("src/CreditGate.sol", "isUsed[nullifier] = true;", ""),
    Mutant("src/CreditGate.sol", "if (block.timestamp > expiresAt) revert", "if (expiresAt == 0) revert"),
    Mutant("src/ProofConsumer.sol", "if (dev && ", "if (proofSystem == 0 && "),
    Mutant("src/ProofConsumer.sol", "if (msg.sender != escrow) revert", "if (msg.sender == address(0)) revert"),
    Mutant("src/CreditGate.sol", "!= resultHash) revert", "== 0) revert"),
    Mutant("src/CreditGate.sol", "commitment, subject, expiresAt));", "commitment, expiresAt));"),
    Mutant("src/ProofConsumer.sol", "if (ofProgram != programId) revert", "if (ofProgram == 0) revert"),
    Mutant("src/ProofConsumer.sol", "!= localBinding(subject)) revert", "== 0) revert"),
    # Keys and terms
    Mutant("src/Groth16.sol", "if (inputs[i] >= R) revert InputNotInField(i);", ""),
    Mutant("src/Groth16.sol", "if (key[i] == key[j]) revert KeyPointRepeated(i);", ""),
    Mutant("src/Groth16.sol", "if (!valid) revert KeyGroup2Invalid();", ""),
    Mutant("src/Groth16.sol", "if (x == 0 && y == 0) revert KeyPointAtInfinity(index);", ""),
    Mutant("src/Terms.sol", "if (award.price > order.priceCap) {", "if (award.price > order.priceCap + 1) {"),
    Mutant("src/Terms.sol", "if (dev && !allowDev) return", "if (dev && allowDev && !allowDev) return"),
    Mutant("src/Terms.sol", "if (ofModel != programId) return", "if (ofModel == 0) return"),
    Mutant("src/Terms.sol", "if (index == CAPACITY) index = 0;", ""),
    Mutant("src/Typed.sol", "block.chainid == _chainId ? _separator : _newSeparator()", "_separator"),
    Mutant("src/Typed.sol", "mload(add(order, 608))", "0"),
    Mutant("src/Packing.sol", "if (reader.position != reader.end) revert", "if (reader.position < reader.end) revert"),
    # The model
    Mutant("model.py", "bounty = order.collateral // BOUNTY_DIVISOR", "bounty = order.collateral // 2"),
    Mutant("model.py", "burned = order.collateral // RELEASE_DIVISOR", "burned = 0"),
    Mutant(
        "model.py",
        '_require(now > order.final_by, "NotYetExpired")',
        '_require(now >= order.final_by, "NotYetExpired")',
    ),
    Mutant("model.py", "if now > life.award.promise_at:", "if now >= life.award.promise_at:"),
    Mutant("model.py", "royalty = price * order.royalty_bps // 10_000", "royalty = 0"),
    Mutant("model.py", '_require(claim.signed or', "_require(True or"),
    Mutant("model.py", "claim = replace(claim, locking=None, settler=claim.award.payout)", ""),
    Mutant(
        "model.py",
        '_require((order.program_id in self.external) == external, "AnotherProofSystem")',
        "",
    ),
    Mutant("model.py", "_require_locked_by(self._life(claim.order_hash), claim.award)", ""),
)
