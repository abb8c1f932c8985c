# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at every daemon every few seconds: what it holds of memory, descriptors, tasks, threads and disk."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from sims.cluster.daemon import Daemon
from sims.cluster.growth import Sample
from sims.cluster.processes import cpu_seconds, disk_bytes, open_files, resident_bytes, session_of
from sims.cluster.setup import Market

PERIOD_SECONDS = 5.0


async def sample(market: Market, series: dict[str, list[Sample]], began: float) -> None:
    """Add a sample of every living daemon to its series every few seconds, until cancelled.

    They are also written as they are taken, one JSON object a line, for those who watch a long run.
    """
    with (market.options.folder / "samples.jsonl").open("a") as watched:
        while True:
            for daemon in market.daemons:
                if daemon.child is not None and not daemon.paused:
                    look = _look(daemon, trio.current_time() - began)
                    series.setdefault(daemon.name, []).append(look)
                    watched.write(json.dumps({"name": daemon.name, **look.row()}) + "\n")
                await trio.lowlevel.checkpoint()
            watched.flush()
            await trio.sleep(PERIOD_SECONDS)


def _look(daemon: Daemon, at: float) -> Sample:
    assert daemon.child is not None
    pid = daemon.child.pid
    told = _told(daemon.data_dir / "status.json")
    fresh = told.get("pid") == pid
    family = session_of([daemon.child.leash.pid])
    return Sample(
        at=round(at, 1),
        pid=pid,
        rss=resident_bytes(pid),
        all_rss=sum(resident_bytes(each) for each in family),
        files=open_files(pid),
        tasks=int(told.get("tasks", 0)) if fresh else 0,
        threads=int(told.get("threads", 0)) if fresh else 0,
        disk=disk_bytes(daemon.data_dir),
        cpu=cpu_seconds(pid),
    )


def _told(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    return {}
