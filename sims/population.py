# SPDX-License-Identifier: GPL-3.0-or-later
"""Who takes part and what is asked: clients, provers and verifiers, and the orders, all from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from market import auction, pricing
from market.pricing import Tariff
from protocol.errors import UsageError
from protocol.structs import Order
from sims.client_node import Plan
from sims.prover_node import Profile
from sims.proving import PROGRAMS, Program, draw_program, estimate_ms
from sims.tokens import account_of
from sims.world import EPOCH, Draw

SECOND = 10**9
MILLISECOND = 10**6
SETTLE_GAS = Tariff().settle_gas
LEAST_NODES = 3
QUIET = 240 * SECOND
"""Between healing and the first order that must settle: what was broken runs out."""
MODEL_ID = sha256(b"model with a royalty").digest()
PUBLISHER = account_of("publisher")
CLIENT_DEPOSIT = 10**18
PROVER_DEPOSIT = 10**15


@dataclass(frozen=True, slots=True)
class Roles:
    """How many nodes play which role; one node plays one."""

    clients: int
    provers: int
    verifiers: int


def roles_of(nodes: int) -> Roles:
    """Return the mix: about a third clients, an eighth verifiers, the rest provers."""
    if nodes < LEAST_NODES:
        raise UsageError(
            f"A market of {nodes} nodes is too small.", remedy=f"Give --nodes {LEAST_NODES} or more."
        )
    clients, verifiers = max(1, nodes // 3), max(1, nodes // 8)
    return Roles(clients, nodes - clients - verifiers, verifiers)


def draw_profiles(seed: int, count: int) -> list[Profile]:
    """Return machines and tariffs; with four provers or more, one in eight lies."""
    draw = Draw(seed, "profiles")
    liars = set(draw.sample(max(1, count // 8), count)) if count >= 4 else set()
    return [Profile(draw.between(60, 220), _tariff(draw), index in liars) for index in range(count)]


def _tariff(draw: Draw) -> Tariff:
    return Tariff(
        wei_per_ms=draw.between(10, 40) * 10**8,
        margin_bps=draw.between(300, 2_500),
        capacity=draw.between(1, 4),
        exposure_cap=10 ** draw.between(14, 17),
    )


def draw_gas_price(seed: int) -> int:
    """Return the price of gas, in wei: that of a rollup."""
    return Draw(seed, "gas").between(5, 20) * 10**6


def draw_plans(
    seed: int, jobs: int, roles: Roles, profiles: list[Profile], gas_price: int
) -> tuple[list[tuple[int, Plan]], int]:
    """Return (client, plan) of every order, by time, and the instant at which faults heal."""
    draw = Draw(seed, "orders")
    slots = sum(profile.tariff.capacity for profile in profiles)
    gap = 10_000 * MILLISECOND // slots
    calm = max(1, jobs // 5)
    at, heal_at, plans = EPOCH + SECOND, EPOCH, []
    for number in range(jobs):
        at += draw.below(2 * gap + 1)
        if number == jobs - calm:
            heal_at = at
            at += QUIET
        fair = number >= jobs - calm
        client = draw.below(roles.clients)
        plans.append((client, _plan(draw, number, client, at, fair, roles, profiles, gas_price)))
    return plans, heal_at


def _plan(
    draw: Draw,
    number: int,
    client: int,
    at: int,
    fair: bool,
    roles: Roles,
    profiles: list[Profile],
    gas_price: int,
) -> Plan:
    program = draw_program(draw)
    order = _order(draw, number, client, at, fair, program, gas_price)
    honest = [index for index, profile in enumerate(profiles) if not profile.lies]
    allowed = None
    if draw.chance(150_000):
        chosen = draw.sample(3, len(honest))
        allowed = tuple(account_of(f"prover {roles.clients + honest[index]}") for index in chosen)
    return Plan(
        at=at,
        order=order,
        policy=auction.POLICIES[draw.below(len(auction.POLICIES))],
        window=draw.between(1_000, 3_000) * MILLISECOND,
        allowed=None if fair else allowed,
        cancel_after=draw.between(0, 15_000) * MILLISECOND if not fair and draw.chance(30_000) else None,
        bad_input=not fair and draw.chance(10_000),
        must_settle=fair,
    )


def _order(
    draw: Draw, number: int, client: int, at: int, fair: bool, program: Program, gas_price: int
) -> Order:
    settlement = SETTLE_GAS * gas_price
    dear = program.proving_ms * 220 // 100 * 4 * 10**9 + 2 * settlement
    tight = not fair and draw.chance(80_000)
    now = at // SECOND
    promise_by = now + 150 + 10 * program.proving_ms // 1_000
    return Order(
        client=account_of(f"client {client}"),
        program_id=program.program_id,
        model_id=MODEL_ID,
        input_commitment=1 + number,
        price_cap=dear // 20 if tight else dear * draw.between(14, 30) // 10,
        verifier_fee=0 if draw.chance(100_000) else settlement * draw.between(100, 130) // 100,
        royalty_bps=250,
        collateral=0 if draw.chance(200_000) else dear * draw.between(1, 8) // 4,
        promise_by=promise_by,
        final_by=promise_by + draw.between(30, 90),
        salt=sha256(f"order {number}".encode()).digest(),
    )


def cheapest_cost(order: Order, profiles: list[Profile], gas_price: int) -> int:
    """Return what the cheapest honest prover and one settlement would cost for this order, in wei."""
    program = next(p for p in PROGRAMS if p.program_id == order.program_id)
    bare = order.model_copy(update={"verifier_fee": 0})
    return min(
        pricing.cost(bare, profile.tariff, gas_price, estimate_ms(program, profile.slowness_percent), False)
        for profile in profiles
        if not profile.lies
    )
