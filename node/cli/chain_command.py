# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that only talk to the chain: one connection, one account, one event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from node.chain_view import ChainView, open_chain
from node.cli.arguments import Session
from node.journal import open_journal


def with_chain(session: Session, work: Callable[[ChainView], Awaitable[None]], *, sign: bool = True) -> None:
    """Run `work` with a view of the chain; with `sign`, one that can send transactions.

    Transactions need the journal, so a daemon on the same folder must be stopped, or used instead.
    """

    async def run() -> None:
        settings = session.settings()
        if not sign:
            async with open_chain(settings) as chain:
                await work(chain)
            return
        folder, account = session.folder(), session.account()
        with folder.locked(), open_journal(folder) as journal:
            async with open_chain(settings, account, journal) as chain:
                session.output.step("Sending, and waiting for the chain ...")
                await work(chain)

    trio.run(run)
