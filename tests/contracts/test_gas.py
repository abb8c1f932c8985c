# SPDX-License-Identifier: GPL-3.0-or-later
"""No call of the Escrow costs more than it should; `make figures` quotes the same measurement."""

from __future__ import annotations

from batch_gas import measure_batches
from escrow_gas import measure_gas

CEILINGS = {"settle": 400_000, "lock": 130_000, "settle_locked": 400_000, "expire": 90_000}


def test_gas_stays_under_its_ceilings() -> None:
    measured = measure_gas()
    assert set(measured) == set(CEILINGS)
    assert all(measured[name] <= ceiling for name, ceiling in CEILINGS.items()), measured


def test_a_job_costs_less_in_a_larger_batch() -> None:
    """Also directly, and no more than docs/gas.md says; `make gas` measures all sizes."""
    measured = measure_batches((1, 8, 32))
    for kind, most in (("settle_per_job", 89_500), ("direct_per_job", 113_000)):
        one, eight, more = (measured[kind][size] for size in (1, 8, 32))
        assert one > eight > more <= most, measured
    assert measured["lock"] <= 76_300 and measured["expire"] <= 50_300
