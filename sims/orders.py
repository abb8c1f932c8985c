# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the orders of a scenario into orders of the market."""

from __future__ import annotations

from hashlib import sha256

from market.pricing import Tariff, cost
from protocol.structs import Order
from sims.client_node import Plan
from sims.proving import BY_ID, PROGRAMS, estimate_ms
from sims.scenario import OrderSpec, Scenario
from sims.tokens import account_of
from sims.world import EPOCH

MILLISECOND = 10**6
SECOND = 10**9
MODEL_ID = sha256(b"model with a royalty").digest()
PUBLISHER = account_of("publisher")
ROYALTY_BPS = 250


def plan_of(spec: OrderSpec, scenario: Scenario) -> Plan:
    """Return what a client is to do."""
    at = EPOCH + spec.at_ms * MILLISECOND
    promise_by = at // SECOND + spec.promise_by_s
    order = Order(
        client=account_of(f"client {spec.client}"),
        program_id=PROGRAMS[spec.program].program_id,
        model_id=MODEL_ID,
        input_commitment=1 + spec.number,
        price_cap=spec.price_cap,
        verifier_fee=spec.verifier_fee,
        royalty_bps=ROYALTY_BPS,
        collateral=spec.collateral,
        promise_by=promise_by,
        final_by=at // SECOND + spec.final_by_s,
        salt=sha256(f"order {spec.number}".encode()).digest(),
    )
    first = scenario.first_prover
    allowed = None
    if spec.allowed is not None:
        allowed = tuple(account_of(f"prover {first + index}") for index in spec.allowed)
    cancel = None if spec.cancel_after_ms is None else spec.cancel_after_ms * MILLISECOND
    return Plan(
        at=at,
        order=order,
        policy=spec.policy,
        window=spec.window_ms * MILLISECOND,
        allowed=allowed,
        cancel_after=cancel,
        bad_input=spec.bad_input,
        must_settle=spec.must_settle,
    )


def cheapest_cost(order: Order, scenario: Scenario) -> int:
    """Return what the cheapest honest prover and one settlement would cost for this order, in wei."""
    program = BY_ID[order.program_id]
    bare = order.model_copy(update={"verifier_fee": 0})
    return min(
        cost(
            bare,
            Tariff(wei_per_ms=spec.wei_per_ms),
            scenario.gas_price,
            estimate_ms(program, spec.slowness_percent),
            False,
        )
        for spec in scenario.provers
        if spec.strategy == "honest"
    )
