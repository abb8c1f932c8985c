# SPDX-License-Identifier: GPL-3.0-or-later
"""A program whose proof failed is offered again once its bundle has passed a new audit: a circuit breaker half open.

The prover's machine stops bidding on a program at its first failed proof. Out of memory once, or a file that has come
back, shall not keep a node idle until somebody looks: after a wait its bundle is read byte by byte, compiled and
proved with a sample. If that passes, the program is offered again. Each failure within the longest wait of the last
mending doubles the wait (the pattern: M. Nygard, "Release It!").
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
import trio

LOOK_SECONDS = 1.0
FIRST_WAIT = 60.0
LONGEST_WAIT = 3_600.0
"""Seconds between the failure and the audit."""

log = structlog.get_logger("proofmesh.mending")


async def keep_whole(
    program_id: bytes,
    broken: Callable[[], bool],
    audit_again: Callable[[], Awaitable[object]],
    offer: Callable[[], None],
) -> None:
    """Offer a program again whenever it was broken and its audit passes, until cancelled."""
    wait, mended = FIRST_WAIT, -LONGEST_WAIT
    while True:
        await trio.sleep(LOOK_SECONDS)
        if not broken():
            continue
        if trio.current_time() - mended >= LONGEST_WAIT:
            wait = FIRST_WAIT
        log.warning("program stopped; its bundle will be audited", program=program_id.hex()[:16], wait_seconds=wait)
        while broken():
            await trio.sleep(wait)
            wait = min(LONGEST_WAIT, 2 * wait)
            try:
                await audit_again()
            except Exception as error:  # whatever is wrong with it: it is not offered, and looked at again later
                code = getattr(error, "code", type(error).__name__)
                log.error("audit failed", program=program_id.hex()[:16], code=code, wait_seconds=wait)
                continue
            mended = trio.current_time()
            log.info("audit passed; serving again", program=program_id.hex()[:16])
            offer()
