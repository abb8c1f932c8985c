# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of faults follows from the seed alone, has every kind, and leaves half of the market standing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sims.cluster.faults import CHAIN, RECOVERY_SECONDS, Fault, Kind, plan

NODES = [*(f"prover-{i}" for i in range(1, 9)), *(f"verifier-{i}" for i in range(1, 4)), "publisher"]
CLIENTS = [f"client-{i}" for i in range(1, 5)]
Seeds = st.integers(0, 2**32)


def ten_minutes(seed: int) -> tuple[Fault, ...]:
    return plan(seed, 600, NODES, CLIENTS, deepest_reorg=2)


@given(Seeds)
def test_one_seed_is_one_plan_and_another_seed_another(seed: int) -> None:
    assert ten_minutes(seed) == ten_minutes(seed)
    assert ten_minutes(seed) != ten_minutes(seed + 1)


@given(Seeds)
def test_ten_minutes_have_every_kind_of_fault(seed: int) -> None:
    faults = ten_minutes(seed)
    assert {fault.kind for fault in faults} == set(Kind)
    assert len(faults) >= 50
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)


@given(Seeds)
def test_no_node_suffers_two_faults_at_once_and_half_of_them_are_well(seed: int) -> None:
    on_nodes = [fault for fault in ten_minutes(seed) if fault.target in NODES]
    for index, fault in enumerate(on_nodes):
        others = [other for other in on_nodes[:index] if other.at + other.seconds + RECOVERY_SECONDS > fault.at]
        assert fault.target not in {other.target for other in others}
        assert 2 * (len(others)) <= len(NODES)


@given(Seeds, st.integers(1, 9))
def test_reorgs_stay_below_what_counts_as_confirmed(seed: int, deepest: int) -> None:
    reorgs = [fault for fault in plan(seed, 600, NODES, CLIENTS, deepest) if fault.kind is Kind.REORG]
    assert reorgs and all(fault.target == CHAIN and 1 <= fault.size <= deepest for fault in reorgs)


@given(Seeds)
def test_a_market_without_nodes_to_spare_is_still_planned_for(seed: int) -> None:
    faults = plan(seed, 90, ["publisher", "prover-1", "verifier-1"], ["client-1"], deepest_reorg=0)
    assert faults and Kind.REORG not in {fault.kind for fault in faults}
