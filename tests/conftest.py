# SPDX-License-Identifier: GPL-3.0-or-later
"""For all tests: no example of a property is judged by the clock; machines are busy."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("proofmesh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("proofmesh")
