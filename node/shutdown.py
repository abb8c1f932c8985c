# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a program until a signal: SIGINT and SIGTERM cancel it, everything closes, the exit is clean."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable

import structlog
import trio

log = structlog.get_logger("proofmesh.node")


def run_until_signal(program: Callable[[], Awaitable[None]]) -> bool:
    """Run `program` under trio; return True if a signal ended it, False if it ended by itself."""
    return trio.run(_run, program)


async def _run(program: Callable[[], Awaitable[None]]) -> bool:
    signalled = False
    failure: list[BaseException] = []
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                nonlocal signalled
                async for number in signals:
                    log.info("stopping", signal=signal.Signals(number).name)
                    signalled = True
                    nursery.cancel_scope.cancel()
                    return

            async def work() -> None:
                try:
                    await program()
                except Exception as error:
                    failure.append(only_error(error))
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            nursery.start_soon(work)
    if failure:
        raise failure[0]
    return signalled


def only_error(error: BaseException) -> BaseException:
    """Return the one error inside nested exception groups, or the group when there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
