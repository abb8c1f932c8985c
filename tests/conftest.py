# SPDX-License-Identifier: GPL-3.0-or-later
"""For all tests: no example of a property is judged by the clock, machines are busy; and names stay short."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

LONGEST_NAME = 80

settings.register_profile("proofmesh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("proofmesh")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name hostile bytes and texts by their length: a megabyte is no name, and random ones differ between processes."""
    if isinstance(val, bytes | str) and len(val) > LONGEST_NAME:
        return f"{argname} of {len(val)}"
    return None
