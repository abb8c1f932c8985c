# SPDX-License-Identifier: GPL-3.0-or-later
"""Chain time: the time by which contracts judge deadlines, known between blocks.

`now = the latest known block time + monotonic time since it was learnt`. A chain that mines only when
there are transactions (anvil) lets its last block grow old, so the follower also reports the pending
block, whose time is what the next transaction would see. Time never runs backwards, and runs at most
`bound_s` ahead of what the chain last said.
"""

from __future__ import annotations

import time
from collections.abc import Callable

NS_PER_S = 1_000_000_000


class ChainClock:
    """Chain time in nanoseconds; zero until the first observation."""

    def __init__(self, *, bound_s: int = 900, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._bound_ns = bound_s * NS_PER_S
        self._monotonic_ns = monotonic_ns
        self._base_ns = 0
        self._learnt_ns = 0
        self._latest_ns = 0
        self._heard_ns: int | None = None

    def observe(self, timestamp: int) -> None:
        """Learn a block's time in seconds. An older time than is known changes nothing but the bound."""
        told_ns = timestamp * NS_PER_S
        now_ns = self._monotonic_ns()
        if self._heard_ns is None or told_ns > self._estimate_ns(now_ns):
            self._base_ns, self._learnt_ns = told_ns, now_ns
        self._heard_ns = now_ns

    def now(self) -> int:
        """Return chain time in nanoseconds since the epoch."""
        if self._heard_ns is not None:
            self._latest_ns = max(self._latest_ns, self._estimate_ns(self._monotonic_ns()))
        return self._latest_ns

    def seconds(self) -> int:
        """Return chain time in whole seconds."""
        return self.now() // NS_PER_S

    def known(self) -> bool:
        """Tell whether the chain was heard at all."""
        return self._heard_ns is not None

    def _estimate_ns(self, now_ns: int) -> int:
        # Silence counts up to the bound only: a stalled chain must not expire everything.
        heard_ns = self._heard_ns if self._heard_ns is not None else now_ns
        until_ns = min(now_ns, heard_ns + self._bound_ns)
        return self._base_ns + until_ns - self._learnt_ns
