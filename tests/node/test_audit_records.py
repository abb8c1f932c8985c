# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit found is kept: a passed one for ever, a refused one until another auditor may find otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from devnet_market import small_bundle

from node.audit_records import AuditRecords
from node.bundle_store import BundleStore
from protocol.errors import AuditError
from proving.audit import AuditResult

PROGRAM = b"\x07" * 32


async def test_a_refused_audit_is_not_paid_for_again(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path)
    store, jobs = BundleStore(tmp_path / "bundles"), list[str]()

    class Workers:
        size = 1

        async def run(self, function: Callable[..., Any], *arguments: object, key: str) -> Any:
            jobs.append(function.__name__)
            raise failure

    workers: Any = Workers()
    taken, failure = await store.take(bundle), AuditError("Its key is not the model's.")
    for _ in range(3):
        with pytest.raises(AuditError, match="not the model's"):
            await store.audited(taken, workers)
    assert len(jobs) == 1
    other = BundleStore(tmp_path / "bundles", powers_of_tau=tmp_path / "ptau")
    with pytest.raises(AuditError):
        await other.audited(taken, workers)
    assert len(jobs) == 2  # another auditor may find otherwise
    with pytest.raises(AuditError):
        await other.audited_again(taken.id, workers)
    assert len(jobs) == 3
    assert store.audit_here(taken).program_id.hex() == taken.manifest.program_id
    assert await store.audited(taken, workers) and len(jobs) == 3
    # An audit that fails later, for lack of memory say, takes nothing from the jobs that are proved with the bundle.
    with pytest.raises(AuditError):
        await store.audited_again(taken.id, workers)
    program = bytes.fromhex(taken.manifest.program_id)
    assert store.folder_of_program(program) == str(taken.folder) and await store.audited(taken, workers)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 10_000, "[" * 200_000, '{"refused": 7}', '{"program_id": "x", "proving_ms": 1}']
)
def test_a_damaged_record_of_an_audit_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / f"{PROGRAM.hex()}.json").write_text(text)
    records = AuditRecords(tmp_path, None)
    assert records.passed(PROGRAM) is None
    records.require_not_refused(PROGRAM)


def test_a_record_that_cannot_be_written_costs_another_audit_and_not_the_node(tmp_path: Path) -> None:
    (tmp_path / f"{PROGRAM.hex()}.json").mkdir()
    records = AuditRecords(tmp_path, None)
    found = records.remember(AuditResult(PROGRAM, PROGRAM, bytes(32), 1, 1, 1, 7, ()))
    assert (found.program_id, found.proving_ms) == (PROGRAM, 7) and records.passed(PROGRAM) is None
    records.refuse(PROGRAM, AuditError("no"))
