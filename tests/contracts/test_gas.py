# SPDX-License-Identifier: GPL-3.0-or-later
"""No call of the Escrow costs more than it should; `make figures` quotes the same measurement."""

from __future__ import annotations

from escrow_gas import measure_gas

CEILINGS = {"settle": 400_000, "lock": 130_000, "settle_locked": 400_000, "expire": 90_000}


def test_gas_stays_under_its_ceilings() -> None:
    measured = measure_gas()
    assert set(measured) == set(CEILINGS)
    assert all(measured[name] <= ceiling for name, ceiling in CEILINGS.items()), measured
