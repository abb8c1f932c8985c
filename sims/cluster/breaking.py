# SPDX-License-Identifier: GPL-3.0-or-later
"""Does to the running market what the plan of faults says, and undoes all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import httpx
import trio

from protocol.errors import ProofmeshError
from sims.cluster.daemon import Daemon
from sims.cluster.faults import Fault, Kind
from sims.cluster.link import Mode
from sims.cluster.setup import Market

_ON_PEERS = {Kind.STALL: Mode.STALL, Kind.SLOW: Mode.SLOW}
_ON_RPC = {Kind.RPC_CUT: Mode.CUT, Kind.RPC_SLOW: Mode.SLOW, Kind.RPC_TRUNCATE: Mode.TRUNCATE}


async def break_things(
    market: Market, plan: Sequence[Fault], began: float, done: Counter[str], note: Callable[[str], None]
) -> None:
    """Carry the plan out; returns when the last fault is undone. `done` counts what was done."""
    async with trio.open_nursery() as nursery:
        for fault in plan:
            await trio.sleep_until(began + fault.at)
            note(f"{fault.kind} {fault.target}" + (f" for {fault.seconds} s" if fault.seconds else ""))
            nursery.start_soon(_one, market, fault, done)


async def _one(market: Market, fault: Fault, done: Counter[str]) -> None:
    match fault.kind:
        case Kind.REORG:
            try:
                await market.chain.reorg(fault.size)
            except (ProofmeshError, httpx.HTTPError):
                done["reorg-refused"] += 1
                return
        case Kind.KILL_CLIENT:
            market.customer(fault.target).kill()
        case _:
            await _on_node(market, market.daemon(fault.target), fault)
    done[fault.kind] += 1


async def _on_node(market: Market, daemon: Daemon, fault: Fault) -> None:
    if fault.kind is Kind.KILL:
        await daemon.kill()
        await trio.sleep(fault.seconds)
        await daemon.launch()
    elif fault.kind is Kind.PAUSE:
        daemon.pause()
        await trio.sleep(fault.seconds)
        daemon.resume()
    elif fault.kind is Kind.CUT:
        await _cut(market, daemon, fault.seconds)
    else:
        link = daemon.peers if fault.kind in _ON_PEERS else daemon.rpc
        link.set({**_ON_PEERS, **_ON_RPC}[fault.kind], fault.size)
        await trio.sleep(fault.seconds)
        link.set(Mode.OPEN)


async def _cut(market: Market, daemon: Daemon, seconds: int) -> None:
    """Cut a daemon off from its peers, in both directions; the chain stays in reach."""
    market.partitions.cut[daemon.name] = daemon
    daemon.peers.set(Mode.CUT)
    outgoing = daemon.own_ports()
    for other in market.daemons:
        other.peers.close(outgoing)
    await trio.sleep(seconds)
    daemon.peers.set(Mode.OPEN)
    del market.partitions.cut[daemon.name]
