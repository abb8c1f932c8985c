# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a failing scenario small: takes away what it does not need to fail in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from sims.errors import CodeCrashError, Violation
from sims.run import run_scenario
from sims.scenario import Clock, Rates, Scenario

LISTS = ("orders", "crashes", "partitions", "outages", "reorgs", "gas_spikes", "censorships")
"""Parts of a scenario of which each entry can go."""
MOST_RUNS = 400
"""Scenarios that are tried at most."""

Progress = Callable[[int, Scenario], None]


def way_of(violation: Violation | None) -> str:
    """Return in which way a run failed: its invariant, or where the code crashed; empty when it held."""
    if violation is None:
        return ""
    if isinstance(violation, CodeCrashError):
        return violation.message.split(":")[0]
    return re.split(r"[:,]", violation.message)[0]


def shrink(scenario: Scenario, progress: Progress, most_runs: int = MOST_RUNS) -> Scenario:
    """Return the smallest scenario found that fails in the same way; the same one if it does not fail."""
    way = way_of(run_scenario(scenario).violation)
    if not way:
        return scenario
    runs, smaller = 0, True
    while smaller and runs < most_runs:
        smaller = False
        for candidate in _candidates(scenario):
            runs += 1
            if way_of(run_scenario(candidate).violation) == way:
                scenario, smaller = candidate, True
                progress(runs, scenario)
                break
            if runs >= most_runs:
                break
    return scenario


def _candidates(scenario: Scenario) -> Iterator[Scenario]:
    """Smaller scenarios, the boldest first."""
    yield from _without_rates(scenario)
    for name in LISTS:
        yield from _without_entries(scenario, name)
    yield from _without_nodes(scenario)
    yield from _simpler_nodes(scenario)


def _without_rates(scenario: Scenario) -> Iterator[Scenario]:
    if scenario.rates != Rates():
        yield replace(scenario, rates=Rates())
        for each in fields(Rates):
            if getattr(scenario.rates, each.name):
                yield replace(scenario, rates=replace(scenario.rates, **{each.name: 0}))


def _without_entries(scenario: Scenario, name: str) -> Iterator[Scenario]:
    """Halves, then quarters, ... then single entries less."""
    entries: tuple[Any, ...] = getattr(scenario, name)
    size = len(entries)
    while size:
        for start in range(0, len(entries), size):
            rest = entries[:start] + entries[start + size :]
            if rest or name != "orders":
                changed: dict[str, Any] = {name: rest}
                yield replace(scenario, **changed)
        size //= 2


def _without_nodes(scenario: Scenario) -> Iterator[Scenario]:
    """The last verifier or prover less; a node in the middle would change all the others' names."""
    nodes = scenario.nodes
    if scenario.verifiers and _unnamed(scenario, nodes - 1):
        yield replace(scenario, verifiers=scenario.verifiers[:-1])
    if not scenario.verifiers and len(scenario.provers) > 1 and _unnamed(scenario, nodes - 1):
        yield replace(scenario, provers=scenario.provers[:-1])


def _unnamed(scenario: Scenario, node: int) -> bool:
    named = [*scenario.hindered]
    named += [index for one in scenario.partitions for index in one.nodes]
    named += [scenario.first_prover + index for order in scenario.orders for index in order.allowed or ()]
    return node not in named


def _simpler_nodes(scenario: Scenario) -> Iterator[Scenario]:
    """Honest instead of lying, with a clock that is right."""
    for name in ("clients", "provers", "verifiers"):
        specs: tuple[Any, ...] = getattr(scenario, name)
        for index, spec in enumerate(specs):
            for plain in ({"strategy": "honest"}, {"clock": Clock()}):
                simpler = replace(spec, **plain)
                if simpler != spec:
                    changed: dict[str, Any] = {name: (*specs[:index], simpler, *specs[index + 1 :])}
                    yield replace(scenario, **changed)
