# SPDX-License-Identifier: GPL-3.0-or-later
"""Plants bugs in the contracts and in their model, one at a time: `python -m contracts.mutants [PATTERN]`.

Every one must be found: those in Solidity by forge, those in the model by the test that compares it with the chain.
Exit code 0 only then. Works on a copy: this checkout is never touched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.toolchain import CHECKOUT, foundry_binary, tool_environment

_SECONDS = 900
_DIFFERENTIAL = ("tests/contracts/test_differential.py", "tests/contracts/test_model_against_chain.py")
"""Quickest first: the first failure ends the search."""


@dataclass(frozen=True)
class Mutant:
    """One planted bug: `old` stands exactly once in the file and becomes `new`."""

    file: str
    old: str
    new: str

    @property
    def in_solidity(self) -> bool:
        """Whether forge is to find it."""
        return self.file.endswith(".sol")


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
    Mutant("src/Escrow.sol", "if (gasleft() < Callback.needed()) revert", "if (gasleft() == 0) revert"),
    Mutant("src/Escrow.sol", "if (entry & DELIVERED != 0) revert", "if (entry == 0) revert"),
    Mutant("src/CreditGate.sol", "isUsed[nullifier] = true;", ""),
    Mutant("src/CreditGate.sol", "if (block.timestamp > expiresAt) revert", "if (expiresAt == 0) revert"),
    Mutant("src/ProofConsumer.sol", "if (msg.sender != escrow) revert", "if (msg.sender == address(0)) revert"),
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
    Mutant("model.py", '_require(claim.signed or', '_require(True or'),
    Mutant("model.py", "claim = replace(claim, locking=None, settler=claim.award.payout)", ""),
    Mutant(
        "model.py",
        '_require((order.program_id in self.external) == external, "AnotherProofSystem")',
        "",
    ),
    Mutant("model.py", "_require_locked_by(self._life(claim.order_hash), claim.award)", ""),
)


def main(arguments: Sequence[str]) -> int:
    """Try each mutant whose text contains the pattern; return 0 if all are found."""
    pattern = arguments[0] if arguments else ""
    chosen = [mutant for mutant in MUTANTS if pattern in f"{mutant.file} {mutant.old} {mutant.new}"]
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = _copy(Path(folder))
        for number, mutant in enumerate(chosen, 1):
            found = _is_found(copy, mutant)
            outcome = "found" if found else "SURVIVED"
            change = mutant.new or f"without {mutant.old}"
            print(f"{number}/{len(chosen)} {outcome}: {mutant.file}: {change}", flush=True)
            if not found:
                survivors.append(mutant)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} found")
    return 1 if survivors else 0


def _copy(folder: Path) -> Path:
    """A checkout whose contracts can be changed; everything else is a link."""
    for entry in CHECKOUT.iterdir():
        if entry.name not in ("contracts", ".git"):
            (folder / entry.name).symlink_to(entry)
    ignored = shutil.ignore_patterns("__pycache__", "out", "cache")
    shutil.copytree(CHECKOUT / "contracts", folder / "contracts", ignore=ignored)
    return folder


def _is_found(checkout: Path, mutant: Mutant) -> bool:
    path = checkout / "contracts" / mutant.file
    original = path.read_text(encoding="utf-8")
    if original.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.file} has {original.count(mutant.old)} times: {mutant.old}")
    path.write_text(original.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return not (_forge(checkout) if mutant.in_solidity else _differential(checkout))
    finally:
        path.write_text(original, encoding="utf-8")


def _forge(checkout: Path) -> bool:
    """Whether the Solidity tests pass; a mutant that does not compile is no mutant."""
    command = [str(foundry_binary("forge")), "test", "--root", ".", "--fail-fast"]
    # That a test fails is all we want to know: looking for the shortest failure takes minutes.
    quick = {"FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0", "FOUNDRY_INVARIANT_RUNS": "4"}
    done = _run(command, checkout / "contracts", tool_environment(checkout) | quick)
    if "Compiler run failed" in done.stdout + done.stderr:
        raise SystemExit(f"a mutant does not compile:\n{done.stdout[-800:]}{done.stderr[-800:]}")
    return done.returncode == 0


def _differential(checkout: Path) -> bool:
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    return _run([sys.executable, "-m", "pytest", "-x", *_DIFFERENTIAL], checkout, environment).returncode == 0


def _run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
