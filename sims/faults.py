# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans what goes wrong in a world, and its healing: phase one and phase two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sims.invariants import Invariants
from sims.prover_node import ProverNode
from sims.scenario import Censorship, GasSpike, Outage, Partition, Rates, Reorg, Scenario
from sims.shell import Shell, Surroundings
from sims.verifier_node import VerifierNode

MILLISECOND = 10**6
SECOND = 10**9
GAS_NOTICED = 3 * SECOND
"""How often a node looks at the price of gas."""


def plan_faults(
    scenario: Scenario,
    around: Surroundings,
    nodes: Sequence[Shell[Any]],
    invariants: Invariants,
    heal_at: int,
) -> None:
    """Put every fault of a scenario, and the healing, on the event heap."""
    planner = _Planner(scenario, around, nodes, invariants, heal_at)
    for crash in scenario.crashes:
        nodes[crash.node].crash_at[crash.step] = crash.down_ms * MILLISECOND
    for partition in scenario.partitions:
        planner.partition(partition)
    for outage in scenario.outages:
        planner.outage(outage)
    for reorg in scenario.reorgs:
        planner.reorg(reorg)
    for spike in scenario.gas_spikes:
        planner.spike(spike)
    for censorship in scenario.censorships:
        planner.censorship(censorship)
    around.world.at(heal_at, planner.heal)


class _Planner:
    def __init__(
        self,
        scenario: Scenario,
        around: Surroundings,
        nodes: Sequence[Shell[Any]],
        invariants: Invariants,
        heal_at: int,
    ) -> None:
        self._scenario = scenario
        self._around = around
        self._nodes = nodes
        self._invariants = invariants
        self._start = around.world.now
        self._heal_at = heal_at
        if any(node.now != around.world.now for node in nodes):
            around.world.fault("clock off")

    def _during(self, span: tuple[int, int], begin: Callable[[], None], end: Callable[[], None]) -> None:
        """Begin and end within phase one; healing ends everything by itself."""
        world, (start, stop) = self._around.world, span
        if start >= self._heal_at:
            return
        world.at(start, begin)
        if stop < self._heal_at:
            world.at(stop, end)

    def _span(self, from_ms: int, to_ms: int) -> tuple[int, int]:
        start = self._start + from_ms * MILLISECOND
        return start, min(self._heal_at, self._start + to_ms * MILLISECOND)

    def partition(self, partition: Partition) -> None:
        """Cut some nodes off."""
        cuts, cut = self._around.network.cuts, frozenset(partition.nodes)
        span = self._span(partition.from_ms, partition.to_ms)
        self._during(span, lambda: cuts.append(cut), lambda: cuts.remove(cut))

    def outage(self, outage: Outage) -> None:
        """Take a node's RPC away."""
        node, span = self._nodes[outage.node], self._span(outage.from_ms, outage.to_ms)

        def begin() -> None:
            node.rpc_out += 1
            node.outages.append(span)

        def end() -> None:
            node.rpc_out -= 1
            node.chain_moved()

        self._during(span, begin, end)

    def reorg(self, reorg: Reorg) -> None:
        """Replace the newest blocks."""
        at = self._start + reorg.at_ms * MILLISECOND
        if at < self._heal_at:
            chain = self._around.chain
            self._around.world.at(at, lambda: chain.reorganise(reorg.depth, reorg.forgets_ppm))

    def spike(self, spike: GasSpike) -> None:
        """Make gas dear."""
        span = self._span(spike.from_ms, spike.to_ms)
        self._invariants.excused.append(span)
        dear = self._scenario.gas_price * spike.factor
        self._during(span, lambda: self._price(dear), lambda: self._price(self._scenario.gas_price))

    def censorship(self, censorship: Censorship) -> None:
        """Keep a node's transactions out of blocks."""
        node, censored = self._nodes[censorship.node], self._around.chain.censored
        span = self._span(censorship.from_ms, censorship.to_ms)

        def begin() -> None:
            censored[node.account] = censored.get(node.account, 0) + 1
            node.outages.append(span)

        def end() -> None:
            censored[node.account] -= 1

        self._during(span, begin, end)

    def _price(self, wei: int) -> None:
        self._around.chain.gas_price = wei
        for node in self._nodes:
            if isinstance(node, (ProverNode, VerifierNode)):
                self._around.world.after(node.draw.below(GAS_NOTICED), _looking(node))

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        around = self._around
        around.world.note("everything heals")
        around.healed = True
        around.rates = around.network.rates = around.chain.rates = Rates()
        around.network.cuts.clear()
        around.chain.censored.clear()
        self._price(self._scenario.gas_price)
        for node in self._nodes:
            node.rpc_out = 0
            node.revive()
            node.chain_moved()
            node.rearm()


def _looking(node: ProverNode | VerifierNode) -> Callable[[], None]:
    return lambda: node.funds(node.around.chain.gas_price)
