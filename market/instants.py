# SPDX-License-Identifier: GPL-3.0-or-later
"""Chain time as the machines see it: an integer of nanoseconds, an argument, never a clock.

Structs carry whole seconds, as blocks do. A deadline of second `t` is kept until `t` itself passes:
settling at it is in time.
"""

from __future__ import annotations

NANOSECOND = 1
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
FINALITY = 900 * SECOND
"""How long a chain may still take back what it said; what ended on-chain is remembered that much longer."""


def to_seconds(instant: int) -> int:
    """Return the block timestamp, in seconds, that an instant falls into."""
    return instant // SECOND


def end_of(second: int) -> int:
    """Return the first instant after a deadline given in seconds."""
    return (second + 1) * SECOND


def ceil_seconds(duration: int) -> int:
    """Return a duration in whole seconds, rounded up."""
    return -(-duration // SECOND)
