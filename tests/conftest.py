# SPDX-License-Identifier: GPL-3.0-or-later
"""For all tests: no property is judged by the clock, machines are busy; names stay short; no log level is left over."""

from __future__ import annotations

import pytest
import structlog
from hypothesis import HealthCheck, settings

LONGEST_NAME = 80

settings.register_profile("proofmesh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("proofmesh")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name hostile bytes and texts by their length: a megabyte is no name, and random ones differ between processes."""
    if isinstance(val, bytes | str) and len(val) > LONGEST_NAME:
        return f"{argname} of {len(val)}"
    return None


@pytest.fixture(autouse=True)
def fresh_logging() -> None:
    """Forget what a command of an earlier test configured: it would hide lines from `capture_logs`."""
    structlog.reset_defaults()
