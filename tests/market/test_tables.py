# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole table of each role: every (phase, event) pair, expected or not, has a defined outcome.

The matrices below are the specification. A column is an event; `x` is a pair that means something, `.`
one that changes nothing and is said to be unexpected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from market_phases import client_in, prover_in, verifier_in
from market_samples import ORDER_HASH, a_prover, a_verifier, all_events, an_event

from market import client, prover, verifier
from market.effects import Effect, Unexpected
from market.events import (
    CLIENT_EVENTS,
    PROVER_EVENTS,
    VERIFIER_EVENTS,
    Event,
    JobEvent,
    OrderPlaced,
    OrderSeen,
    ProofReceived,
)

CLIENT = """
            Tick BidReceived RefusalReceived AwardAccepted CancelAsked
collecting  x    x           x               .             x
awarded     x    x           x               x             x
locked      x    x           x               x             x
waiting     x    x           x               .             x
refunding   x    x           .               .             .
settled     x    x           .               .             .
refunded    x    x           .               .             .
failed      x    x           .               .             .
cancelled   x    x           .               .             .

            ChainLocked ChainSettled ChainReleased ChainExpired ChainUndone
collecting  x           x            x             x            x
awarded     x           x            x             x            x
locked      .           x            x             x            x
waiting     x           x            x             x            x
refunding   .           x            x             x            x
settled     .           .            x             .            x
refunded    .           x            x             .            x
failed      x           x            x             x            x
cancelled   x           x            x             x            x
"""
PROVER = """
            Tick AwardReceived InputOpened InputRejected WitnessReady ProofReady ProofFailed LockFailed
quoted      x    x             .           .             .            .          .           .
awarded     x    x             x           x             .            .          .           .
witnessing  x    x             .           x             x            .          x           .
locking     x    x             .           .             .            .          .           x
proving     x    x             .           .             .            x          x           x
sent        x    x             .           .             .            .          .           x
settling    x    x             .           .             .            .          .           x
done        x    x             .           .             .            .          .           x
dropped     x    x             .           .             .            .          .           x

            VerifierAnswered SettlementFailed ChainLocked ChainSettled ChainReleased ChainExpired ChainUndone
quoted      .                .                x           x            x             x            x
awarded     .                .                x           x            x             x            x
witnessing  .                .                x           x            x             x            x
locking     .                .                x           x            x             x            x
proving     .                .                x           x            x             x            x
sent        x                .                x           x            x             x            x
settling    x                x                x           x            x             x            x
done        x                x                x           x            x             x            x
dropped     x                x                x           x            x             x            x
"""
VERIFIER = """
            Tick ProofReceived ProofChecked SettlementFailed
checking    x    x             x            .
ready       x    x             .            .
settling    x    x             .            x
done        x    x             .            x
dropped     x    x             .            x

            ChainLocked ChainSettled ChainReleased ChainExpired ChainUndone
checking    x           x            x             x            x
ready       x           x            x             x            x
settling    x           x            x             x            x
done        x           x            x             x            x
dropped     x           x            x             x            x
"""
ROLES: list[tuple[ModuleType, str]] = [(client, CLIENT), (prover, PROVER), (verifier, VERIFIER)]
EVENTS = {client: CLIENT_EVENTS, prover: PROVER_EVENTS, verifier: VERIFIER_EVENTS}
STATES: dict[ModuleType, Callable[[Any], Any]] = {client: client_in, prover: prover_in, verifier: verifier_in}
PAIRS = [(role, phase, kind) for role, _ in ROLES for phase, kind in role.TABLE]


def matrix(text: str) -> set[tuple[str, str]]:
    """The (phase, event) pairs that a matrix marks."""
    marked = set()
    for block in text.strip("\n").split("\n\n"):
        head, *rows = block.splitlines()
        for row in rows:
            phase, *marks = row.split()
            assert len(marks) == len(head.split())
            marked |= {(phase, kind) for kind, mark in zip(head.split(), marks, strict=True) if mark == "x"}
    return marked


@pytest.mark.parametrize(("role", "text"), ROLES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_expected_pairs_are_those_of_the_matrix(role: ModuleType, text: str) -> None:
    expected = {
        (phase.value, kind.__name__)
        for (phase, kind), handler in role.TABLE.items()
        if handler is not role._unexpected
    }
    assert expected == matrix(text)


@pytest.mark.parametrize(("role", "text"), ROLES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_table_is_complete(role: ModuleType, text: str) -> None:
    general = {kind for kind in EVENTS[role] if kind not in {k for _, k in role.TABLE}}
    assert {kind for _, kind in role.TABLE} | general == set(EVENTS[role])
    assert len(role.TABLE) == len(role.Phase) * len({kind for _, kind in role.TABLE})
    assert all(phase.value in text for phase in role.Phase)


@pytest.mark.parametrize(
    ("role", "phase", "kind"), PAIRS, ids=lambda v: getattr(v, "__name__", getattr(v, "value", ""))
)
def test_each_pair_has_its_outcome(role: ModuleType, phase: object, kind: type[Event]) -> None:
    state = STATES[role](phase)
    after, effects = role.transition(state, an_event(kind))
    assert isinstance(after, role.State) and all(isinstance(effect, Effect) for effect in effects)
    unexpected = [effect for effect in effects if isinstance(effect, Unexpected)]
    if role.TABLE[phase, kind] is role._unexpected:
        assert after == state
        assert unexpected == [Unexpected(ORDER_HASH, kind.__name__, str(phase))]
        assert len(effects) == 1
    else:
        assert not unexpected


@pytest.mark.parametrize("role", [client, prover, verifier], ids=lambda role: role.__name__)
def test_no_event_of_another_role_raises_or_changes_a_job(role: ModuleType) -> None:
    for phase in role.Phase:
        state = STATES[role](phase)
        for event in all_events():
            if type(event) in EVENTS[role]:
                continue
            after, effects = role.transition(state, event)
            assert after == state and [type(effect) for effect in effects] == [Unexpected]


@pytest.mark.parametrize("role", [client, prover, verifier], ids=lambda role: role.__name__)
def test_events_of_an_unknown_order_change_no_job(role: ModuleType) -> None:
    states: dict[ModuleType, Any] = {client: client.State(), prover: a_prover(), verifier: a_verifier()}
    state = states[role]
    for event in all_events():
        if not isinstance(event, JobEvent) or isinstance(event, (OrderPlaced, OrderSeen, ProofReceived)):
            continue
        after, _ = role.transition(state, event)
        assert after.jobs == {}


def test_an_order_placed_twice_or_with_an_unknown_policy_is_unexpected() -> None:
    state = client_in(client.Phase.COLLECTING)
    event = an_event(OrderPlaced)
    assert isinstance(event, OrderPlaced)
    after, effects = client.transition(state, event)
    assert after is state and isinstance(effects[0], Unexpected)
    after, effects = client.transition(client.State(), replace(event, policy="cheapest"))
    assert after == client.State() and isinstance(effects[0], Unexpected)
