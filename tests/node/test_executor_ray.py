# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving on a cluster of two machines (processes here), one of which is lost in the middle of a job.

Runs where Ray is installed: `make test-ray` makes an environment for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed; `make test-ray` installs it")

from ray.cluster_utils import Cluster  # noqa: E402
from ray_jobs import place, refuse, write_later  # noqa: E402

from node.executor_ray import RayExecutor  # noqa: E402
from protocol.errors import InputRangeError, WorkerDiedError  # noqa: E402


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without processors, so that work goes to the machines that the test adds."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    root = Path(__file__).resolve().parents[2]
    path = f"{root}{os.pathsep}{root / 'tests' / 'support'}"
    ray.init(address=made.address, runtime_env={"env_vars": {"PYTHONPATH": path}}, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


async def test_jobs_run_with_affinity_and_survive_the_loss_of_a_machine(cluster: Any) -> None:
    machines = [cluster.add_node(num_cpus=1) for _ in range(2)]
    async with RayExecutor(2) as executor:
        first, second = [await executor.run(place, key=key) for key in "ab"]
        assert first[0] != second[0] and first[1] != second[1] and os.getpid() not in (first[0], second[0])
        assert [await executor.run(place, key=key) for key in "aba"] == [first, second, first]
        with pytest.raises(InputRangeError, match="PM-PRV-004"):
            await executor.run(refuse)

        lost = next(each for each in machines if each.node_id == first[1])
        cluster.add_node(num_cpus=1)
        with pytest.raises(WorkerDiedError):
            async with trio.open_nursery(strict_exception_groups=False) as nursery:
                nursery.start_soon(partial(executor.run, time.sleep, 120, key="a"))
                await trio.sleep(1)
                assert executor.busy() == 1
                await trio.to_thread.run_sync(cluster.remove_node, lost, False)
        assert executor.busy() == 0
        again = await executor.run(place, key="c")
        other = await executor.run(place, key="d")
        assert lost.node_id not in (again[1], other[1])


async def test_cancelling_stops_the_work_and_frees_the_slot(cluster: Any, tmp_path: Path) -> None:
    cluster.add_node(num_cpus=1)
    async with RayExecutor(1) as executor:
        before = await executor.run(place)
        with trio.move_on_after(0.5):
            await executor.run(write_later, str(tmp_path / "done"), 3.0)
        assert executor.busy() == 0
        assert (await executor.run(place))[0] != before[0]
        await trio.sleep(3.5)
        assert not (tmp_path / "done").exists()
