# SPDX-License-Identifier: GPL-3.0-or-later
"""What a batch costs, so that no transaction needs more gas than a chain takes: then none of its jobs would be settled.

Anybody may send a verifier proofs of programs of its own with many outputs; a few dozen of them in one batch, and every
honest job beside them would wait in vain. The figures are above what docs/gas.md measures.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.packing import BatchJob

TRANSACTION_GAS = 14_000_000
"""Most that one transaction is meant to need; a chain takes no more than 2^24 in one (EIP-7825)."""
BASE_GAS = 150_000
"""The transaction itself, and the pairings that all its jobs share."""
JOB_GAS = 100_000
"""A job's pairing, multiplications, call data, payment and events."""
OUTPUT_GAS = 2_000
"""An output of a job: call data, its place in the event, one more word to hash and weigh."""
PROGRAM_GAS = 70_000
"""A program's key, read and checked with: its own pairing, and the multiplications that every key has."""
INPUT_GAS = 7_500
"""A multiplication and an addition for each public input of a program, whatever the number of its jobs."""


def transactions_of(jobs: Sequence[BatchJob]) -> tuple[tuple[BatchJob, ...], ...]:
    """Return the jobs in their order, as few transactions of them as each stays below `TRANSACTION_GAS`."""
    done: list[tuple[BatchJob, ...]] = []
    batch: list[BatchJob] = []
    for job in jobs:
        if batch and estimated_gas([*batch, job]) > TRANSACTION_GAS:
            done.append(tuple(batch))
            batch = []
        batch.append(job)
    return (*done, tuple(batch)) if batch else tuple(done)


def estimated_gas(jobs: Sequence[BatchJob]) -> int:
    """Return gas that surely settles these jobs in one transaction."""
    outputs = {job.settlement.order.program_id: len(job.settlement.outputs) for job in jobs}
    programs = sum(PROGRAM_GAS + INPUT_GAS * number for number in outputs.values())
    return BASE_GAS + programs + sum(JOB_GAS + OUTPUT_GAS * len(job.settlement.outputs) for job in jobs)
