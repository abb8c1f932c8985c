# SPDX-License-Identifier: GPL-3.0-or-later
"""Short commands of `proofmesh` that the cluster runs to their end, as an operator's script would."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trio

from protocol.errors import ProofmeshError
from sims.cluster.processes import PROOFMESH, environment

COMMAND_SECONDS = 900.0
"""A hang guard: on a machine with fifty processes to a core a command of two seconds has taken three minutes."""


class ClusterError(ProofmeshError):
    """The cluster itself could not be set up or looked at; nothing is known of the market."""

    code = "PM-SIM-020"
    exit_code = 1
    remedy = "Read the logs in the cluster's folder; a busy machine may need a smaller cluster."


async def run(
    data_dir: Path, password_file: Path, words: Sequence[str], extra: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a command with --json and return the last object that it printed.

    Raises:
        ClusterError: it failed, or took too long.
    """
    with trio.move_on_after(COMMAND_SECONDS):
        done = await trio.run_process(
            [*PROOFMESH, *words],
            env=environment(data_dir, password_file, extra or {}),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            start_new_session=True,
        )
        return _result(words, done)
    raise ClusterError(f"`proofmesh {' '.join(words[:2])}` took more than {COMMAND_SECONDS:.0f} s.")


def _result(words: Sequence[str], done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    if done.returncode != 0 or not lines:
        said = (lines or done.stderr.decode("utf-8", "replace").splitlines() or ["nothing"])[-1]
        raise ClusterError(f"`proofmesh {' '.join(words[:2])}` ended with {done.returncode}: {said[:300]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found
