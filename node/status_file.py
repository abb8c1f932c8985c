# SPDX-License-Identifier: GPL-3.0-or-later
"""`status.json`: how a running node is, for an operator and for monitors; written anew every few seconds."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import trio

from market import client, prover, verifier
from node.chain_view import ChainView
from node.data_folder import DataFolder
from node.net import Transport
from node.role_shell import RoleShell
from node.storage import Storage
from protocol import bounded_json

PERIOD_SECONDS = 5.0
MOST_NAMES = 40
Shells = list[RoleShell[client.State] | RoleShell[prover.State] | RoleShell[verifier.State]]


async def keep_status(
    folder: DataFolder, transport: Transport, shells: Shells, storage: Storage, chain: ChainView
) -> None:
    """Write the status until cancelled; a full disk costs the status, not the node."""
    while True:
        try:
            _write(folder.status, _snapshot(transport, shells, storage) | {"rpc": chain.client.rpc.report()})
        except OSError:
            transport.counters["status_not_written"] += 1
        await trio.sleep(PERIOD_SECONDS)


def read_status(folder: DataFolder) -> dict[str, Any] | None:
    """Return the last status, None if there is none."""
    try:
        found: dict[str, Any] = bounded_json.loads(folder.status.read_text())
    except (OSError, ValueError):
        return None
    return found


def _snapshot(transport: Transport, shells: Shells, storage: Storage) -> dict[str, Any]:
    peers = transport.peers()
    return {
        "at": int(time.time()),
        "pid": os.getpid(),
        "tasks": trio.lowlevel.current_statistics().tasks_living,
        "tasks_by_name": _tasks_by_name(),
        "threads": threading.active_count(),
        "peers_known": len(peers),
        "peers_connected": sum(1 for peer in peers if peer.connected),
        "peers_by_relay": sum(1 for peer in peers if peer.relay is not None),
        "carried_for_others": transport.relay.circuits if transport.relay is not None else 0,
        "jobs": {shell.role: Counter(str(job.phase) for job in shell.state.jobs.values()) for shell in shells},
        "unexpected_events": sum(shell.unexpected for shell in shells),
        "storage": {"free_bytes": storage.free_bytes, "halted": storage.halted},
        "network": dict(transport.counters),
    }


def _tasks_by_name() -> dict[str, int]:
    """Count the tasks of this process by what they run; what grows without end shows here."""
    found: Counter[str] = Counter()
    waiting = [trio.lowlevel.current_root_task()]
    while waiting:
        if (task := waiting.pop()) is not None:
            found[task.name] += 1
            waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return dict(found.most_common(MOST_NAMES))


def _write(path: Path, fields: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(fields, sort_keys=True) + "\n")
    os.replace(fresh, path)
