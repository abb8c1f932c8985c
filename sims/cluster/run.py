# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the cluster: set up, load (with faults, if asked for), heal, audit, stop everything."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any

import trio

from sims.cluster.audit import ENDED, Finding, Order, audit, count_events
from sims.cluster.breaking import break_things
from sims.cluster.evidence import figures, gather, moves_of, orders_of
from sims.cluster.faults import Fault, plan
from sims.cluster.growth import Sample, lives
from sims.cluster.options import CONFIRMATIONS, DEEPEST_REORG, HEAL_SECONDS, Options
from sims.cluster.processes import stop_all
from sims.cluster.sampling import sample
from sims.cluster.setup import Market, set_up

LOOK_SECONDS = 5.0
QUIET_SECONDS = 3.0 * CONFIRMATIONS
"""After the last order has ended: what was sent is confirmed."""
Note = Callable[[str], None]


@dataclass
class Report:
    """What a run found. `findings` empty: all is well."""

    options: Options
    plan: tuple[Fault, ...] = ()
    faults: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    series: dict[str, list[Sample]] = field(default_factory=dict)
    daemons: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return the report without the series, for one line of JSON."""
        return {
            "options": {**asdict(self.options), "folder": str(self.options.folder), "byzantine_program": None},
            "planned_faults": len(self.plan),
            "faults": dict(self.faults),
            "findings": [asdict(finding) for finding in self.findings],
            **self.figures,
        }

    def to_json(self) -> str:
        """Return the whole report."""
        whole = {
            **self.summary(),
            "plan": [asdict(fault) for fault in self.plan],
            "daemons": self.daemons,
            "series": {name: [look.row() for look in looks] for name, looks in self.series.items()},
        }
        return json.dumps(whole, indent=1, sort_keys=True) + "\n"


async def run_cluster(options: Options, note: Note) -> Report:
    """Run a cluster and return what was found; every process it started has ended by then.

    Raises:
        ClusterError: it could not be set up, or not be looked at.
    """
    report = Report(options)
    async with trio.open_nursery() as nursery:
        try:
            market = await set_up(options, nursery, note)
            async with aclosing(market.chain.http):
                await _live(market, report, note)
        finally:
            with trio.CancelScope(shield=True):
                await stop_all()
            nursery.cancel_scope.cancel()
    return report


async def _live(market: Market, report: Report, note: Note) -> None:
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for daemon in market.daemons:
            nursery.start_soon(daemon.watch)
        nursery.start_soon(sample, market, report.series, began)
        await _load(market, report, began, note)
        orders = await _heal(market, note)
        for daemon in market.daemons:
            daemon.expected = True
        nursery.cancel_scope.cancel()
    note("stopping the daemons")
    async with trio.open_nursery() as nursery:
        for daemon in market.daemons:
            nursery.start_soon(daemon.stop)
    note("auditing")
    evidence = await gather(market, orders, report.series)
    report.findings = audit(evidence)
    taken = [job.ended - job.begun for customer in market.customers for job in customer.jobs if job.ended]
    report.figures = figures(evidence, market, taken)
    report.daemons = {daemon.name: _told(daemon, report.series) for daemon in market.daemons}


def _told(daemon: Any, series: dict[str, list[Sample]]) -> dict[str, Any]:
    thirds = lives(series.get(daemon.name, []))
    return {
        "account": daemon.account,
        "honest": daemon.honest,
        "starts": daemon.starts,
        "longest_life": None if thirds is None else asdict(thirds),
    }


async def _load(market: Market, report: Report, began: float, note: Note) -> None:
    """Clients buy for the run's time, and what the plan says breaks."""
    options = market.options
    note(f"load for {options.seconds} s")
    async with trio.open_nursery() as nursery:
        if options.chaos:
            names = [daemon.name for daemon in market.daemons]
            clients = [customer.name for customer in market.customers]
            report.plan = plan(options.seed, options.seconds, names, clients, DEEPEST_REORG)
            nursery.start_soon(break_things, market, report.plan, began, report.faults, note)
        for customer in market.customers:
            nursery.start_soon(_bounded, customer.buy, began + options.seconds, options.seconds + HEAL_SECONDS)


async def _bounded(buy: Callable[[float], Any], until: float, seconds: float) -> None:
    """A client whose job never ends is a finding, not a hang."""
    with trio.move_on_after(seconds):
        await buy(until)


async def _heal(market: Market, note: Note) -> tuple[Order, ...]:
    """Wait, without faults, until every order has ended and no lock is open; return the orders as they are then."""
    note("everything is healed; waiting for the last orders")
    give_up = trio.current_time() + HEAL_SECONDS
    while trio.current_time() < give_up:
        orders = await orders_of(market)
        waiting = [order for order in orders if order.phase not in ENDED]
        async with trio.open_nursery() as nursery:
            for order in waiting:
                customer = next(c for c in market.customers if c.account == order.client)
                nursery.start_soon(_finish, customer.finish, order.order_hash, give_up)
        if not waiting and not await _locked(market):
            await trio.sleep(QUIET_SECONDS)
            return await orders_of(market)
        await trio.sleep(LOOK_SECONDS)
    return await orders_of(market)


async def _finish(finish: Callable[[str], Any], order_hash: str, give_up: float) -> None:
    with trio.move_on_at(give_up):
        await finish(order_hash)


async def _locked(market: Market) -> bool:
    """Whether a lock is still open on the chain."""
    events = count_events(await moves_of(market)).values()
    return any(e["Locked"] > e["Released"] + (e["Settled"] or e["Expired"]) for e in events)


def progress(say: Callable[[str], None]) -> Note:
    """Return a note that says when, from now on."""
    began = time.monotonic()
    return lambda text: say(f"{time.monotonic() - began:7.1f} s  {text}")
