# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws a scenario from one seed: who takes part, what is asked, what goes wrong and when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from market import auction
from market.pricing import BID_LIFE, Tariff
from protocol.errors import UsageError
from sims.proving import PROGRAMS, draw_of
from sims.scenario import (
    Censorship,
    ClientSpec,
    Clock,
    Crash,
    GasSpike,
    OrderSpec,
    Outage,
    Partition,
    ProverSpec,
    Rates,
    Reorg,
    Scenario,
    VerifierSpec,
    require_sound,
)
from sims.strategies import CLIENTS, PROVERS, VERIFIERS
from sims.world import Draw

SETTLE_GAS = Tariff().settle_gas
LEAST_NODES = 3
QUIET_S = 240
"""Between healing and the first order that must settle: what was broken runs out."""
SIZES = ((40, 3, 8, 1, 10), (35, 8, 20, 4, 20), (20, 20, 60, 8, 30), (5, 60, 250, 10, 40))
"""(weight, least nodes, most nodes, least jobs, most jobs)"""
SHARES = (0, 0, 0, 100_000, 300_000, 300_000, 600_000)
"""Shares of liars in ppm, equally likely."""
DEEPER = 2
"""Blocks by which a reorganisation may go deeper than the confirmations."""
SLOWEST_PERCENT = 220
"""Of a proving time on the reference machine: that on the slowest one."""
CHEAP_WEI_PER_MS = 1
"""What liars charge: by price they win every auction."""
MOST_LIARS = 3
"""With more liars than this, each of them can win an auction of an order until there is no time for another."""
MOST_HOSTILE_PPM = 350_000
"""With more liars than this among provers, an order may find no honest one in all of its auctions."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run may fix; None is drawn from the seed. Probabilities in parts per million."""

    nodes: int | None = None
    jobs: int | None = None
    seed: int = 7
    latency_ms: int | None = None
    loss_ppm: int | None = None
    prover_death_ppm: int | None = None
    verifier_death_ppm: int | None = None
    block_seconds: int | None = None
    byzantine_ppm: int | None = None

    def command(self) -> str:
        """Return the command that runs exactly this again."""
        given = {
            "--nodes": self.nodes,
            "--jobs": self.jobs,
            "--seed": self.seed,
            "--latency-ms": self.latency_ms,
            "--loss": self.loss_ppm,
            "--prover-death": self.prover_death_ppm,
            "--verifier-death": self.verifier_death_ppm,
            "--block-seconds": self.block_seconds,
            "--byzantine": self.byzantine_ppm,
        }
        words = [f" {flag} {value}" for flag, value in given.items() if value is not None]
        return "proofmesh sim run" + "".join(words) + " --json"


def draw_scenario(options: Options) -> Scenario:
    """Return the scenario of a seed. Raises UsageError for options that no market can have."""
    _require_sane(options)
    draw = Draw(options.seed, "scenario")
    nodes, jobs = _size(draw, options)
    share = SHARES[draw.below(len(SHARES))] if options.byzantine_ppm is None else options.byzantine_ppm
    gas_price = draw.between(5, 20) * 10**6
    block = _or(options.block_seconds, (1, 2, 2, 2, 4, 12)[draw.below(6)])
    latency = _or(options.latency_ms, (0, 20, 40, 40, 40, 120, 400)[draw.below(7)])
    clients, verifiers = max(1, nodes // 3), max(1, nodes // 8)
    provers = nodes - clients - verifiers
    scenario = Scenario(
        seed=options.seed,
        clients=_clients(draw, clients, share),
        provers=_provers(draw, provers, share),
        verifiers=_verifiers(draw, verifiers, share),
        orders=(),
        heal_ms=0,
        latency_ms=latency,
        block_seconds=block,
        confirmations=draw.between(1, 4),
        gas_price=gas_price,
        rates=_rates(draw, options),
    )
    scenario = _with_orders(draw, scenario, jobs)
    scenario = _with_faults(draw, scenario)
    require_sound(scenario)
    return scenario


def hostile(scenario: Scenario) -> bool:
    """Return whether liars are so many that an honest order may find nobody to serve it."""
    liars = sum(1 for prover in scenario.provers if prover.strategy != "honest")
    honest = len(scenario.provers) - liars
    return (
        liars > MOST_LIARS or honest == 0 or Fraction(liars, len(scenario.provers)) > Fraction(MOST_HOSTILE_PPM, 10**6)
    )


def _require_sane(options: Options) -> None:
    if options.nodes is not None and options.nodes < LEAST_NODES:
        raise UsageError(
            f"A market of {options.nodes} nodes is too small.", remedy=f"Give --nodes {LEAST_NODES} or more."
        )
    if (options.jobs is not None and options.jobs < 1) or (
        options.block_seconds is not None and options.block_seconds < 1
    ):
        raise UsageError("A simulation needs a job, blocks of a second or more, and no negative latency.")
    rates = (options.loss_ppm, options.prover_death_ppm, options.verifier_death_ppm)
    if any(rate is not None and not 0 <= rate <= 500_000 for rate in rates):
        raise UsageError("Loss and death are given in parts per million, from 0 to 500000.")
    if options.byzantine_ppm is not None and not 0 <= options.byzantine_ppm <= 10**6:
        raise UsageError("The share of liars is given in parts per million, from 0 to 1000000.")


def _size(draw: Draw, options: Options) -> tuple[int, int]:
    ticket, chosen = draw.below(sum(size[0] for size in SIZES)), SIZES[-1]
    for size in reversed(SIZES):
        if ticket < size[0]:
            chosen = size
            break
        ticket -= size[0]
    _, least, most, fewest, largest = chosen
    nodes, jobs = draw.between(least, most), draw.between(fewest, largest)
    return _or(options.nodes, nodes), _or(options.jobs, jobs)


def _or(given: int | None, drawn: int) -> int:
    return drawn if given is None else given


# --- who takes part ----------------------------------------------------------------------


def _strategy(draw: Draw, names: tuple[str, ...], share: int) -> str:
    lies, chosen = draw.chance(share), names[draw.below(len(names))]
    return chosen if lies else "honest"


def _clock(draw: Draw) -> Clock:
    if draw.chance(500_000):
        return Clock()
    return Clock(draw.between(-1_500, 1_500), draw.between(-300, 300))


def _clients(draw: Draw, count: int, share: int) -> tuple[ClientSpec, ...]:
    names = tuple(CLIENTS)[1:]
    made = [ClientSpec(_strategy(draw, names, share), clock=_clock(draw)) for _ in range(count)]
    if all(client.strategy != "honest" for client in made):
        made[0] = replace(made[0], strategy="honest")
    return tuple(made)


def _provers(draw: Draw, count: int, share: int) -> tuple[ProverSpec, ...]:
    names = tuple(PROVERS)[1:]
    made = [
        ProverSpec(
            strategy=_strategy(draw, names, share),
            clock=_clock(draw),
            slowness_percent=draw.between(60, SLOWEST_PERCENT),
            wei_per_ms=draw.between(10, 40) * 10**8,
            margin_bps=draw.between(300, 2_500),
            capacity=draw.between(1, 4),
            exposure_cap=10 ** (draw.between(10, 13) if draw.chance(500_000) else draw.between(13, 17)),
        )
        for _ in range(count)
    ]
    made = [
        prover if prover.strategy == "honest" else replace(prover, wei_per_ms=CHEAP_WEI_PER_MS, margin_bps=0)
        for prover in made
    ]
    if all(prover.strategy != "honest" for prover in made):
        made[0] = replace(made[0], strategy="honest")
    return tuple(made)


def _verifiers(draw: Draw, count: int, share: int) -> tuple[VerifierSpec, ...]:
    names = tuple(VERIFIERS)[1:]
    return tuple(VerifierSpec(_strategy(draw, names, share), _clock(draw), index * 10**10) for index in range(count))


# --- what is asked -----------------------------------------------------------------------


def _with_orders(draw: Draw, scenario: Scenario, jobs: int) -> Scenario:
    slots = sum(prover.capacity for prover in scenario.provers)
    gap = 10_000 // slots
    calm = max(1, jobs // 5)
    at, heal, ahead_ms, orders = 1_000, 0, 0, []
    for number in range(jobs):
        at += draw.below(2 * gap + 1)
        if number == jobs - calm:
            heal = at + draw.between(20_000, 240_000)
            at = heal + QUIET_S * 1_000
        fair = number >= jobs - calm
        order = _order(draw, scenario, number, at, fair=fair)
        orders.append(_with_patience(scenario, order, ahead_ms) if fair else order)
        ahead_ms += PROGRAMS[order.program].proving_ms if fair else 0
    return replace(scenario, orders=tuple(orders), heal_ms=heal)


def _with_patience(scenario: Scenario, order: OrderSpec, ahead_ms: int) -> OrderSpec:
    """Give a fair order the time for those before it, and for each liar to win it once.

    One prover may have all of them in its queue, and be slow; a prover promises twice its estimate (market/pricing.py).
    """
    liars = sum(1 for prover in scenario.provers if prover.strategy != "honest")
    auctions = min(liars, MOST_LIARS)
    twice_ms = 2 * (auctions * PROGRAMS[order.program].proving_ms + ahead_ms) * SLOWEST_PERCENT // 100
    more = twice_ms // 1_000 + auctions * (_longest_slack(scenario) + BID_LIFE + 4 * order.window_ms // 1_000 + 5)
    return replace(order, promise_by_s=order.promise_by_s + more, final_by_s=order.final_by_s + more)


def _longest_slack(scenario: Scenario) -> int:
    """Return the seconds that a prover adds to its estimate with the deepest reorganisations (prover_node.py)."""
    deep = scenario.confirmations
    return 3 + 8 + scenario.block_seconds * (3 + deep + DEEPER + 2 + deep)


def _order(draw: Draw, scenario: Scenario, number: int, at: int, *, fair: bool) -> OrderSpec:
    program = draw_of(draw, PROGRAMS)
    settlement = SETTLE_GAS * scenario.gas_price
    dear = program.proving_ms * SLOWEST_PERCENT // 100 * 4 * 10**9 + 2 * settlement
    tight = not fair and draw.chance(80_000)
    promise_by = 150 + 40 * scenario.block_seconds + 10 * program.proving_ms // 1_000
    honest = [index for index, prover in enumerate(scenario.provers) if prover.strategy == "honest"]
    allowed = None
    if draw.chance(150_000) and not fair:
        allowed = tuple(honest[index] for index in draw.sample(3, len(honest)))
    clients = [i for i, client in enumerate(scenario.clients) if client.strategy == "honest" or not fair]
    return OrderSpec(
        at_ms=at,
        number=number,
        client=clients[draw.below(len(clients))],
        program=PROGRAMS.index(program),
        price_cap=dear // 20 if tight else dear * draw.between(14, 30) // 10,
        verifier_fee=0 if draw.chance(100_000) else settlement * draw.between(100, 130) // 100,
        collateral=0 if draw.chance(200_000) else dear * draw.between(1, 8) // 4,
        promise_by_s=promise_by,
        final_by_s=promise_by + draw.between(30, 90),
        policy=auction.POLICIES[draw.below(len(auction.POLICIES))],
        window_ms=draw.between(1_000, 3_000) + 4 * scenario.latency_ms,
        allowed=allowed,
        cancel_after_ms=draw.between(0, 15_000) if not fair and draw.chance(30_000) else None,
        bad_input=not fair and draw.chance(10_000),
        must_settle=fair,
    )


# --- what goes wrong ---------------------------------------------------------------------


def _rates(draw: Draw, options: Options) -> Rates:
    def rate(most: int) -> int:
        value = draw.between(0, most)
        return value if draw.chance(500_000) else 0

    loss = _or(options.loss_ppm, rate(100_000))
    return Rates(
        loss=loss,
        gossip_loss=loss,
        duplicate=rate(50_000),
        reorder=rate(50_000),
        lost_answer=rate(30_000),
        prover_death=_or(options.prover_death_ppm, rate(50_000)),
        verifier_death=_or(options.verifier_death_ppm, rate(50_000)),
        dropped=rate(200_000),
        false_failure=rate(100_000),
        proof_failure=rate(20_000),
    )


def _with_faults(draw: Draw, scenario: Scenario) -> Scenario:
    nodes, heal = scenario.nodes, scenario.heal_ms
    often = min(60, nodes)

    def count(most: int) -> int:
        return draw.between(1, most) if draw.chance(500_000) else 0

    def span(longest: int) -> tuple[int, int]:
        start = draw.below(max(1, heal))
        return start, start + draw.between(500, longest)

    crashes = tuple(
        Crash(draw.below(nodes), 1 + draw.below(1 << draw.between(3, 10)), draw.between(100, 60_000))
        for _ in range(count(often))
    )
    partitions = tuple(
        Partition(*span(60_000), tuple(draw.sample(draw.between(1, max(1, nodes // 2)), nodes)))
        for _ in range(count(3))
    )
    outages = tuple(Outage(draw.below(nodes), *span(90_000)) for _ in range(count(often // 2 + 1)))
    deepest = scenario.confirmations + DEEPER
    reorgs = tuple(
        Reorg(draw.below(max(1, heal)), draw.between(1, deepest), draw.below(2) * draw.below(400_000))
        for _ in range(count(4))
    )
    spikes = tuple(GasSpike(*span(60_000), draw.between(2, 12)) for _ in range(count(2)))
    censored = tuple(Censorship(draw.below(nodes), *span(60_000)) for _ in range(count(3)))
    return replace(
        scenario,
        crashes=crashes,
        partitions=partitions,
        outages=outages,
        reorgs=reorgs,
        gas_spikes=spikes,
        censorships=censored,
    )
