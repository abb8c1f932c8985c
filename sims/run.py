# SPDX-License-Identifier: GPL-3.0-or-later
"""One simulation: build the world, run it until nothing is planned, check it all the way, count."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from market import client
from protocol.errors import UsageError
from sims.actor import Actor, Surroundings
from sims.blocks import Chain
from sims.chain import Escrow
from sims.client_node import ClientNode, Plan
from sims.errors import LivenessViolationError, SafetyViolationError
from sims.invariants import Invariants, check_end
from sims.network import Faults, Network
from sims.population import (
    CLIENT_DEPOSIT,
    MODEL_ID,
    PROVER_DEPOSIT,
    PUBLISHER,
    Roles,
    cheapest_cost,
    draw_gas_price,
    draw_plans,
    draw_profiles,
    roles_of,
)
from sims.prover_node import Profile, ProverNode
from sims.verifier_node import VerifierNode
from sims.world import World

REST = 3_600 * 10**9
"""After the last second of all orders: when nothing may happen any more, in nanoseconds."""
MAX_STEPS_PER_JOB = 20_000
"""Events that one order may cause at most; more is a loop."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is determined by. Probabilities in parts per million, times in ms and seconds."""

    nodes: int = 30
    jobs: int = 500
    seed: int = 7
    latency_ms: int = 40
    loss_ppm: int = 10_000
    prover_death_ppm: int = 20_000
    verifier_death_ppm: int = 10_000
    block_seconds: int = 2

    def command(self) -> str:
        """Return the command that runs exactly this again."""
        return (
            f"proofmesh sim run --nodes {self.nodes} --jobs {self.jobs} --seed {self.seed}"
            f" --latency-ms {self.latency_ms} --loss {self.loss_ppm} --prover-death {self.prover_death_ppm}"
            f" --verifier-death {self.verifier_death_ppm} --block-seconds {self.block_seconds} --json"
        )


@dataclass(slots=True)
class Market:
    """A built world, ready to run."""

    options: Options
    world: World
    chain: Chain
    network: Network
    faults: Faults
    clients: list[ClientNode]
    provers: list[ProverNode]
    verifiers: list[VerifierNode]
    profiles: list[Profile]
    gas_price: int
    plans: list[tuple[int, Plan]] = field(default_factory=list)

    @property
    def actors(self) -> list[Actor[Any]]:
        """All nodes, by index."""
        return [*self.clients, *self.provers, *self.verifiers]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result's object, and what was violated, if anything."""

    figures: dict[str, int | str]
    violation: SafetyViolationError | LivenessViolationError | None
    trace: tuple[str, ...]


def simulate(options: Options, escrow: Escrow | None = None) -> Outcome:
    """Run one simulation to its end, or to the first violation. `escrow` may be a broken one, for tests."""
    market = build(options, escrow or Escrow())
    invariants = Invariants(market.chain, {actor.account: actor for actor in market.actors})
    violation: SafetyViolationError | LivenessViolationError | None = None
    try:
        rest = max(plan.order.final_by for _, plan in market.plans) * 10**9 + REST
        limit = MAX_STEPS_PER_JOB * (options.jobs + options.nodes)
        while market.world.step():
            invariants.check()
            if market.world.now > rest or market.world.steps > limit:
                raise LivenessViolationError("The world does not come to rest.")
        liars = {prover.account for prover in market.provers if not prover.honest}
        check_end(market.chain, market.clients, liars)
    except (SafetyViolationError, LivenessViolationError) as error:
        violation = error
    return Outcome(figures_of(market, violation), violation, tuple(market.world.tail))


def build(options: Options, escrow: Escrow) -> Market:
    """Return the world of these options, with everything planned and nothing done."""
    _check(options)
    roles = roles_of(options.nodes)
    world = World(options.seed)
    faults = Faults(
        loss=options.loss_ppm,
        gossip_loss=options.loss_ppm,
        prover_death=options.prover_death_ppm,
        verifier_death=options.verifier_death_ppm,
    )
    network = Network(world, faults, options.latency_ms)
    chain = Chain(world, network, escrow, options.block_seconds)
    around = Surroundings(world, network, chain, faults)
    profiles = draw_profiles(options.seed, roles.provers)
    gas_price = draw_gas_price(options.seed)
    market = Market(
        options=options,
        world=world,
        chain=chain,
        network=network,
        faults=faults,
        clients=[ClientNode(i, around) for i in range(roles.clients)],
        provers=[ProverNode(roles.clients + i, around, p) for i, p in enumerate(profiles)],
        verifiers=[
            VerifierNode(roles.clients + roles.provers + i, around, i * 10**10)
            for i in range(roles.verifiers)
        ],
        profiles=profiles,
        gas_price=gas_price,
    )
    _start(market, roles)
    return market


def _check(options: Options) -> None:
    if options.jobs < 1 or options.block_seconds < 1 or options.latency_ms < 0:
        raise UsageError("A simulation needs a job, blocks of a second or more, and no negative latency.")
    rates = (options.loss_ppm, options.prover_death_ppm, options.verifier_death_ppm)
    if any(not 0 <= rate <= 500_000 for rate in rates):
        raise UsageError("Loss and death are given in parts per million, from 0 to 500000.")


def _start(market: Market, roles: Roles) -> None:
    escrow, world = market.chain.escrow, market.world
    escrow.royalties[MODEL_ID] = PUBLISHER
    for node in market.clients:
        escrow.deposit(node.account, CLIENT_DEPOSIT)
    for prover in market.provers:
        escrow.deposit(prover.account, PROVER_DEPOSIT)
    market.network.connect(list(market.actors))
    market.chain.follow(list(market.actors))
    for verifier in market.verifiers:
        verifier.start(market.gas_price)
    known = [(v.index, v.account, max(v.state.least_fee, _least_fee(market, v))) for v in market.verifiers]
    for prover in market.provers:
        prover.start(known, market.gas_price)
    plans, heal_at = draw_plans(
        market.options.seed, market.options.jobs, roles, market.profiles, market.gas_price
    )
    market.plans = plans
    for index, plan in plans:
        world.at(plan.at, _placing(market.clients[index], plan))
    world.at(heal_at, lambda: _heal(market))


def _least_fee(market: Market, verifier: VerifierNode) -> int:
    return verifier.state.settle_gas * market.gas_price


def _placing(node: ClientNode, plan: Plan) -> Any:
    return lambda: node.place(plan)


def _heal(market: Market) -> None:
    market.world.note("everything heals")
    market.faults.heal()
    for actor in market.actors:
        actor.revive()


def figures_of(
    market: Market, violation: SafetyViolationError | LivenessViolationError | None
) -> dict[str, int | str]:
    """Return the run's object: integers, and exact decimals as strings."""
    placed = [entry for node in market.clients for entry in node.placed.values()]
    settled = [entry for entry in placed if entry.outcome is client.Phase.SETTLED]
    took = sorted((entry.ended_at - entry.plan.at) // 10**6 for entry in settled)
    paid = sum(entry.paid for entry in settled)
    least = sum(cheapest_cost(entry.plan.order, market.profiles, market.gas_price) for entry in settled)
    jobs = max(1, len(placed))
    figures: dict[str, int | str] = {
        "seed": market.options.seed,
        "nodes": market.options.nodes,
        "clients": len(market.clients),
        "provers": len(market.provers),
        "verifiers": len(market.verifiers),
        "jobs": len(placed),
        "settled": len(settled),
        **{
            phase.value: sum(1 for entry in placed if entry.outcome is phase)
            for phase in (client.Phase.REFUNDED, client.Phase.FAILED, client.Phase.CANCELLED)
        },
        "settle_ms_p50": percentile(took, 50),
        "settle_ms_p99": percentile(took, 99),
        "price_ratio": decimal_ratio(paid, least),
        "messages_per_job": market.network.messages // jobs,
        "bytes_per_job": market.network.bytes // jobs,
        "reauctions": sum(entry.rounds - 1 for entry in placed),
        "slashes": len(market.chain.slashes),
        "reverts": sum(market.chain.reverts.values()),
        "deaths": sum(len(actor.died_at) for actor in market.actors),
        "receipts": sum(node.receipts for node in market.clients),
        "events": market.world.steps,
        "simulated_ms": (market.world.now - market.plans[0][1].at) // 10**6,
        "trace_hash": market.world.trace_hash(),
    }
    if violation is not None:
        figures["violation"] = str(violation)
        figures["replay"] = market.options.command()
    return figures


def percentile(ascending: list[int], percent: int) -> int:
    """Return the nearest-rank percentile, 0 of nothing."""
    if not ascending:
        return 0
    return ascending[max(0, -(-len(ascending) * percent // 100) - 1)]


def decimal_ratio(numerator: int, denominator: int) -> str:
    """Return a quotient cut to four decimals, as text; "0.0000" when there is nothing to divide by."""
    units = numerator * 10_000 // denominator if denominator else 0
    return f"{units // 10_000}.{units % 10_000:04d}"
