# SPDX-License-Identifier: GPL-3.0-or-later
"""A program whose proof failed is offered again when its bundle passes a new audit, and not before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio
from devnet_market import small_bundle
from trio.testing import MockClock

from node.bundle_store import BundleStore
from node.mending import FIRST_WAIT, LONGEST_WAIT, keep_whole
from node.workers import WorkerPool
from protocol.errors import AuditError, BundleError

PROGRAM = b"\x07" * 32


class Program:
    """A program that may break, and whose audits fail for a while."""

    def __init__(self, failing: int = 0) -> None:
        self.failing = failing
        self.broken = False
        self.audits: list[float] = []

    async def audit(self) -> None:
        self.audits.append(trio.current_time())
        if len(self.audits) <= self.failing:
            raise AuditError("A file is damaged.")

    def offer(self) -> None:
        self.broken = False

    async def keep(self) -> None:
        await keep_whole(PROGRAM, lambda: self.broken, self.audit, self.offer)


async def test_a_program_is_offered_again_after_an_audit(autojump_clock: MockClock) -> None:
    program = Program()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(program.keep)
        await trio.sleep(10 * LONGEST_WAIT)
        assert not program.audits  # nothing is audited that is whole
        program.broken = True
        await trio.sleep(FIRST_WAIT / 2)
        assert program.broken
        await trio.sleep(FIRST_WAIT)
        assert not program.broken and len(program.audits) == 1
        nursery.cancel_scope.cancel()


async def test_a_damaged_one_is_looked_at_ever_more_rarely_and_never_offered(autojump_clock: MockClock) -> None:
    program = Program(failing=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(program.keep)
        program.broken = True
        await trio.sleep(5 * LONGEST_WAIT)
        assert program.broken and 6 < len(program.audits) <= 10
        waits = [later - earlier for earlier, later in zip(program.audits, program.audits[1:], strict=False)]
        assert waits == sorted(waits) and waits[0] == 2 * FIRST_WAIT and waits[-1] == LONGEST_WAIT
        await trio.sleep(10 * LONGEST_WAIT)
        assert not program.broken and len(program.audits) == 11
        nursery.cancel_scope.cancel()


async def test_one_that_breaks_again_and_again_waits_longer_each_time(autojump_clock: MockClock) -> None:
    program = Program()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(program.keep)
        for times in range(4):
            program.broken, broke = True, trio.current_time()
            while program.broken:
                await trio.sleep(1)
            assert FIRST_WAIT * 2**times <= program.audits[-1] - broke <= FIRST_WAIT * 2**times + 2
        await trio.sleep(LONGEST_WAIT)
        program.broken, broke = True, trio.current_time()
        await trio.sleep(FIRST_WAIT + 3)
        assert not program.broken  # long ago: the first wait again
        nursery.cancel_scope.cancel()


async def test_the_audit_reads_what_is_on_disk_now(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path)
    store = BundleStore(tmp_path / "bundles")
    async with WorkerPool(1, readable=[tmp_path]) as workers:
        taken = await store.take(bundle)
        await store.audited(taken, workers)
        await store.audited_again(taken.id, workers)
        model = taken.folder / "model.onnx"
        shutil.copy(model, tmp_path / "aside")
        model.write_bytes(bytes(model.stat().st_size))
        assert await store.audited(taken, workers)  # what is known is not looked at
        with pytest.raises(BundleError):
            await store.audited_again(taken.id, workers)
        shutil.copy(tmp_path / "aside", model)
        await store.audited_again(taken.id, workers)
