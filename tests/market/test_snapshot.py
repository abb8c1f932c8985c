# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's state is written and read back, whatever it holds, and goes on as if nothing had been."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market_phases import client_in, prover_in, verifier_in
from market_samples import a_prover, a_verifier, all_events, locked

from market import client, prover, verifier
from market.pricing import Tariff
from market.snapshot import decode_state, encode_state, with_settings
from protocol.codec import pack
from protocol.errors import NotCanonicalError, WireError
from protocol.scalars import MAX_AMOUNT

ROLES: list[tuple[ModuleType, Any]] = [(client, client_in), (prover, prover_in), (verifier, verifier_in)]
STATES = [make(phase) for role, make in ROLES for phase in role.Phase]


@pytest.mark.parametrize("state", STATES, ids=lambda s: f"{type(s).__module__}-{next(iter(s.jobs.values())).phase}")
def test_every_state_comes_back_and_goes_on_the_same(state: Any) -> None:
    again = decode_state(encode_state(state), type(state))
    assert again == state and encode_state(again) == encode_state(state)
    role: Any = {client.State: client, prover.State: prover, verifier.State: verifier}[type(state)]
    for event in all_events():
        assert role.transition(again, event) == role.transition(state, event)


def test_amounts_beyond_64_bits_sets_and_empty_maps_come_back() -> None:
    large = replace(a_prover(), balance=2**200, broken=frozenset({b"\x01" * 32, b"\x02" * 32}), programs={}, jobs={})
    large = replace(large, locks={b"\x03" * 32: replace(locked(), price=MAX_AMOUNT)})
    assert decode_state(encode_state(large), prover.State) == large


def test_new_settings_hold_and_nothing_else_changes() -> None:
    state = prover_in(prover.Phase.PROVING)
    changed = with_settings(state, replace(a_prover(), tariff=Tariff(margin_bps=1), payout=b"\x99" * 20))
    assert changed == replace(state, tariff=Tariff(margin_bps=1), payout=b"\x99" * 20)
    checking = verifier_in(verifier.Phase.CHECKING)
    assert with_settings(checking, replace(a_verifier(), least_fee=7)) == replace(checking, least_fee=7)


def test_a_field_of_a_later_version_has_its_default() -> None:
    earlier = pack(["client", {"jobs": {"~map": []}}])
    assert decode_state(earlier, client.State) == client.State()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        pack([]),
        pack(["client"]),
        pack(["prover", {}]),
        pack(["client", {"jobs": {"~map": [[1]]}}]),
        pack(["client", {"jobs": 5}]),
        pack(["client", {"jobs": {"~number": "x"}}]),
        encode_state(a_prover()),
    ],
)
def test_what_is_no_state_of_a_client_is_refused(data: bytes) -> None:
    with pytest.raises(NotCanonicalError):
        decode_state(data, client.State)


@given(st.binary(max_size=200))
def test_random_bytes_never_crash(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_state(data, prover.State)
