# SPDX-License-Identifier: GPL-3.0-or-later
"""One simulation: build the world of a scenario, run it until nothing is planned, check it all the way."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sims.babbling import LAST_SECOND, Babbler
from sims.blocks import Chain
from sims.chain import Escrow
from sims.client_node import ClientNode, Plan
from sims.coverage import Pair
from sims.drawing import Options, draw_scenario, hostile
from sims.errors import CodeCrashError, LivenessViolationError, SafetyViolationError, Violation
from sims.faults import plan_faults
from sims.figures import figures_of
from sims.invariants import Invariants, Privacy, check_end, check_exposure
from sims.network import Network
from sims.orders import MODEL_ID, PUBLISHER, plan_of
from sims.prover_node import ProverNode, tariff_of
from sims.scenario import Scenario
from sims.shell import Shell, Surroundings
from sims.strategies import CLIENTS, PROVERS, VERIFIERS
from sims.verifier_node import VerifierNode
from sims.world import World

SECOND = 10**9
REST = 3_600 * SECOND
"""After the last second of all orders: when nothing may happen any more, in nanoseconds."""
MAX_STEPS = 50_000
"""Events that one order or node may cause at most; more is a loop."""
LOOK_EVERY = 64
"""Steps between two looks at the bounds of nodes."""
PARTED_AFTER, GREETED_AFTER = 5 * SECOND, 2 * SECOND
"""How long provers take to notice that a verifier is gone, or back."""


@dataclass(slots=True)
class Market:
    """A built world, ready to run."""

    scenario: Scenario
    around: Surroundings
    clients: list[ClientNode]
    provers: list[ProverNode]
    verifiers: list[VerifierNode]
    invariants: Invariants
    plans: list[tuple[int, Plan]] = field(default_factory=list)

    @property
    def nodes(self) -> list[Shell[Any]]:
        """All nodes, by index."""
        return [*self.clients, *self.provers, *self.verifiers]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result's object, what was violated, if anything, and what was exercised."""

    scenario: Scenario
    figures: dict[str, int | str]
    violation: Violation | None
    trace: tuple[str, ...]
    pairs: dict[Pair, int]
    faults: dict[str, int]
    strategies: tuple[str, ...]
    virtual_seconds: int
    """Time that passed in the world, times its nodes."""


def simulate(options: Options) -> Outcome:
    """Draw the scenario of a seed and run it."""
    return run_scenario(draw_scenario(options))


def run_scenario(
    scenario: Scenario, escrow: Escrow | None = None, sink: Callable[[str], None] | None = None
) -> Outcome:
    """Run one scenario to its end, or to the first violation.

    Args:
        escrow: may be a broken one, for tests.
        sink: gets every line of the trace.
    """
    market = build(scenario, escrow or Escrow())
    market.around.world.sink = sink
    violation: Violation | None = None
    try:
        finish(market)
    except (SafetyViolationError, LivenessViolationError) as error:
        violation = error
    except Exception as error:
        # The root of a run: whatever the code under simulation raises is a finding.
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).parent.name}/{Path(last.filename).name}:{last.lineno}"
        violation = CodeCrashError(f"{type(error).__name__} at {where}: {error}.")
    world = market.around.world
    return Outcome(
        scenario=scenario,
        figures=figures_of(market, violation),
        violation=violation,
        trace=tuple(world.tail),
        pairs=market.around.coverage.pairs,
        faults=world.faults,
        strategies=strategies_of(scenario),
        virtual_seconds=(world.now - world.began) // SECOND * scenario.nodes,
    )


def strategies_of(scenario: Scenario) -> tuple[str, ...]:
    """Return `role: strategy` of all liars."""
    groups = (("client", scenario.clients), ("prover", scenario.provers), ("verifier", scenario.verifiers))
    found = {f"{role}: {spec.strategy}": None for role, group in groups for spec in group}
    return tuple(name for name in found if not name.endswith(": honest"))


def finish(market: Market) -> None:
    """Run a built market to its end. Raises the violation of what did not hold."""
    scenario, world, invariants = market.scenario, market.around.world, market.invariants
    rest = max(plan.order.final_by for _, plan in market.plans) * SECOND + REST
    limit = MAX_STEPS * (len(scenario.orders) + scenario.nodes)
    while world.step():
        invariants.check()
        if world.steps % LOOK_EVERY == 0:
            invariants.check_bounds(market.nodes)
        if world.now > rest or world.steps > limit:
            raise LivenessViolationError("SIM-6: the world does not come to rest.")
    check_end(market.around.chain, market.clients, market.provers, must_settle=not hostile(scenario))


# --- building ----------------------------------------------------------------------------


def build(scenario: Scenario, escrow: Escrow) -> Market:
    """Return the world of a scenario, with everything planned and nothing done."""
    world = World(scenario.seed)
    network = Network(world, scenario.rates, scenario.latency_ms)
    chain = Chain(
        world,
        network,
        escrow,
        scenario.rates,
        block_seconds=scenario.block_seconds,
        confirmations=scenario.confirmations,
        gas_price=scenario.gas_price,
    )
    around = Surroundings(world, network, chain, scenario.rates)
    clients = [CLIENTS[spec.strategy](i, around, spec) for i, spec in enumerate(scenario.clients)]
    provers = [
        PROVERS[spec.strategy](i, around, spec, tariff_of(spec, scenario))
        for i, spec in enumerate(scenario.provers, scenario.first_prover)
    ]
    verifiers = [
        VERIFIERS[spec.strategy](i, around, spec) for i, spec in enumerate(scenario.verifiers, scenario.first_verifier)
    ]
    nodes: list[Shell[Any]] = [*clients, *provers, *verifiers]
    market = Market(scenario, around, clients, provers, verifiers, Invariants(chain, nodes))
    escrow.royalties[MODEL_ID] = PUBLISHER
    for client, owner in zip(clients, scenario.clients, strict=True):
        escrow.deposit(client.account, owner.deposit)
    for prover, operator in zip(provers, scenario.provers, strict=True):
        escrow.deposit(prover.account, operator.deposit)
    network.connect(nodes)
    network.taps.append(Privacy(nodes))
    chain.follow(nodes)
    _start(market)
    return market


def _start(market: Market) -> None:
    scenario, around = market.scenario, market.around
    world, gas_price = around.world, scenario.gas_price
    for verifier in market.verifiers:
        verifier.funds(gas_price)
    for prover in market.provers:
        prover.guarded(prover.serve)
        prover.funds(gas_price)
        for verifier in market.verifiers:
            prover.greeted(verifier.index, verifier.account, verifier.least_fee())
    around.went_down, around.came_up = _parting(market), _greeting(market)
    by_index = {prover.index: prover for prover in market.provers}
    around.awarded = lambda index: check_exposure(by_index[index])
    heal_at = world.now + scenario.heal_ms * 10**6
    for spec in scenario.orders:
        plan = plan_of(spec, scenario)
        market.plans.append((spec.client, plan))
        world.at(plan.at, _placing(market.clients[spec.client], plan))
    for node in market.nodes:
        if isinstance(node, Babbler):
            node.babble(heal_at + LAST_SECOND * SECOND)
    plan_faults(scenario, around, market.nodes, market.invariants, heal_at)


def _placing(node: ClientNode, plan: Plan) -> Callable[[], None]:
    return lambda: node.place(plan)


def _parting(market: Market) -> Callable[[int], None]:
    by_index = {verifier.index: verifier for verifier in market.verifiers}

    def went_down(index: int) -> None:
        verifier = by_index.get(index)
        if verifier is not None:
            for prover in market.provers:
                market.around.world.after(PARTED_AFTER, _parted(prover, verifier))

    return went_down


def _parted(prover: ProverNode, verifier: VerifierNode) -> Callable[[], None]:
    return lambda: None if verifier.alive else prover.parted(verifier.account)


def _greeting(market: Market) -> Callable[[int], None]:
    by_index = {verifier.index: verifier for verifier in market.verifiers}

    def came_up(index: int) -> None:
        verifier = by_index.get(index)
        if verifier is not None:
            for prover in market.provers:
                market.around.world.after(GREETED_AFTER, _greeted(prover, verifier))

    return came_up


def _greeted(prover: ProverNode, verifier: VerifierNode) -> Callable[[], None]:
    return lambda: prover.greeted(verifier.index, verifier.account, verifier.least_fee())
