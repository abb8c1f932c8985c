# SPDX-License-Identifier: GPL-3.0-or-later
"""What the chain knows of a model: who published it, what it came from, what is advised, what was proved with it."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.events import Advised, Settled
from contracts.records import Advice, ModelRecord
from node.chain_view import ChainView, UnknownOnChainError

MAX_LINEAGE = 64
"""Ancestors that are asked for; the Registry has no limit."""


@dataclass(frozen=True)
class Execution:
    """A proof of the model's program that the Escrow accepted and paid for; `price` in units of `token`."""

    order_hash: bytes
    client: bytes
    prover: bytes
    token: bytes
    price: int
    outputs: tuple[int, ...]
    block_number: int
    transaction_hash: bytes


@dataclass(frozen=True)
class ModelHistory:
    """A model's record, its ancestors (itself first), advice (latest last), and executions (oldest first).

    `verifier` is the contract that verifies its program, and the hash of its code; None for Groth16.
    """

    model_id: bytes
    publisher: bytes
    record: ModelRecord
    verifier: tuple[bytes, bytes] | None
    lineage: tuple[bytes, ...]
    advice: Advice
    successor: bytes
    advisories: tuple[Advised, ...]
    executions: tuple[Execution, ...]


async def history_of(chain: ChainView, model_id: bytes) -> ModelHistory:
    """Read a model's history from views and events of the contracts.

    Models that share a program (the same circuit and key) share its executions: the chain sees programs.

    Raises:
        UnknownOnChainError: the Registry knows no such model.
    """
    lineage = await chain.lineage_of(model_id, MAX_LINEAGE)
    if not lineage:
        raise UnknownOnChainError(f"Model 0x{model_id.hex()} is not published.")
    publisher, record = await chain.model(model_id)
    advice, successor = await chain.advice_of(model_id)
    advised = await chain.past("Registry", Advised, model_id)
    executions = []
    for log, settled in await chain.past("Escrow", Settled, None, record.program_id):
        paid = settled.payment
        executions.append(Execution(
            settled.order_hash, settled.client, paid.prover, paid.token, paid.price, settled.outputs,
            log.block_number, log.transaction_hash,
        ))  # fmt: skip
    return ModelHistory(
        model_id=model_id,
        publisher=publisher,
        record=record,
        verifier=await chain.verifier_of(record.program_id),
        lineage=lineage,
        advice=advice,
        successor=successor,
        advisories=tuple(event for _, event in advised),
        executions=tuple(executions),
    )
