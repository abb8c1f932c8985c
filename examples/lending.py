# SPDX-License-Identifier: GPL-3.0-or-later
"""A lending pool without collateral: a bank attests the applicant's data, the applicant proves its score (CreditGate).

The bank signs a commitment to the data; it never talks to the pool. The applicant proves `score >= threshold` on
exactly that commitment, for its own wallet. The pool learns one bit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from contracts import bindings
from contracts.attestation import attestation_digest
from contracts.rpc import Rpc
from node.devnet.world import World
from protocol.errors import ChainError
from protocol.signing import Account

LOAN, POOL = 10**18, 5 * 10**18
YEAR = 365 * 24 * 3600
ACCEPTED = (1,)
"""The public inputs between commitment and binding that earn a loan: yes."""
Fields = dict[str, Any]
Commands = Callable[..., Awaitable[list[Fields]]]


@dataclass(frozen=True)
class Proof:
    """What an applicant sends: public inputs and proof, for one wallet."""

    inputs: tuple[int, ...]
    proof: bytes


class Lending:
    """A pool on a devnet, its bank and its applicants."""

    def __init__(self, world: World, commands: Commands, bundle: Path, folder: Path, program_id: bytes) -> None:
        self.world, self.commands, self.bundle, self.folder = world, commands, bundle, folder
        self.program_id = program_id
        self.bank, self.applicant, self.stranger = (Account(os.urandom(32)) for _ in range(3))
        self.gate = bytes(20)
        self.expires_at = 0

    async def open(self) -> None:
        """Give everybody gas, deploy the pool and fill it."""
        for account in (self.bank, self.applicant, self.stranger):
            await self.world.fund(self.world.devnet.rpc_url, account.address, 2 * POOL)
        escrow, registry = (bytes.fromhex(each[2:]) for each in (self.world.devnet.escrow, self.world.devnet.registry))
        data = bindings.deploy_credit_gate(escrow, registry, self.program_id, ACCEPTED, self.bank.address, LOAN)
        receipt = await trio.to_thread.run_sync(self._send, self.bank, None, data, POOL)
        self.gate = bytes.fromhex(receipt["contractAddress"][2:])
        self.expires_at = await trio.to_thread.run_sync(self._now) + YEAR

    async def prove(self, record: str, wallet: Account, name: str) -> Proof:
        """Commit to a record, then prove the score on exactly that commitment, for a wallet, on this machine."""
        opening, out = self.folder / f"{name}-opening.json", self.folder / f"{name}-proof.json"
        opening.unlink(missing_ok=True)
        inputs = str(self.folder / "credit" / record)
        await self.commands("commit", str(self.bundle), inputs, "--opening", str(opening))
        await self.commands(
            "prove", str(self.bundle), inputs, "--opening", str(opening), "--out", str(out),
            "--chain-id", str(self.world.devnet.chain_id), "--consumer", "0x" + self.gate.hex(),
            "--subject", "0x" + wallet.address.hex(),
        )  # fmt: skip
        made = json.loads(out.read_text())
        return Proof(tuple(map(int, made["public_inputs"])), bytes.fromhex(made["proof"][2:]))

    def attested(self, issuer: Account, commitment: int, subject: Account) -> bytes:
        """An issuer's signature: this commitment is to the data of this subject."""
        chain_id = self.world.devnet.chain_id
        return issuer.sign_digest(
            attestation_digest(chain_id, self.gate, commitment, subject.address, self.expires_at)
        )

    async def borrow(self, wallet: Account, proof: Proof, attestation: bytes) -> Fields:
        """Ask for the loan; say what came of it."""
        data = bindings.borrow_with_proof(proof.inputs, proof.proof, self.expires_at, attestation)
        before = await trio.to_thread.run_sync(self._pool)
        try:
            receipt = await trio.to_thread.run_sync(self._send, wallet, self.gate, data, 0)
        except ChainError as error:
            return {"lent_wei": "0", "refused": error.message}
        after = await trio.to_thread.run_sync(self._pool)
        return {"lent_wei": str(before - after), "refused": "", "gas": int(receipt["gasUsed"], 16)}

    def _send(self, account: Account, to: bytes | None, data: bytes, value: int) -> Fields:
        with Rpc(self.world.devnet.rpc_url) as rpc:
            return rpc.transact(account, to, data, value)

    def _pool(self) -> int:
        with Rpc(self.world.devnet.rpc_url) as rpc:
            return rpc.quantity("eth_getBalance", "0x" + self.gate.hex(), "latest")

    def _now(self) -> int:
        with Rpc(self.world.devnet.rpc_url) as rpc:
            return int(rpc.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)


async def lend(lending: Lending) -> Fields:
    """One honest loan, and everything that an applicant may try instead; what came of each."""
    await lending.open()
    own = await lending.prove("accepted.json", lending.applicant, "lending")
    attestation = lending.attested(lending.bank, own.inputs[0], lending.applicant)
    invented = lending.attested(lending.applicant, own.inputs[0], lending.applicant)
    below = await lending.prove("rejected.json", lending.applicant, "lending-below")
    below_attested = lending.attested(lending.bank, below.inputs[0], lending.applicant)
    return {
        "below the threshold": await lending.borrow(lending.applicant, below, below_attested),
        "self-attested": await lending.borrow(lending.applicant, own, invented),
        "a stranger's wallet": await lending.borrow(lending.stranger, own, attestation),
        "honest": await lending.borrow(lending.applicant, own, attestation),
        "again": await lending.borrow(lending.applicant, own, attestation),
    }
