# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure submit to paid on a devnet: `python benchmarks/latency.py [--jobs N]`; prints one JSON object.

Jobs run one after another with the credit model and three provers on one machine, blocks of one second.
The clock runs from the client's call to its receipt, so it holds the bidding window and the wait for a block.
What the prover's own clock says about witness and proof is in its log ("proved"); that part is subtracted.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import trio

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

from node.client_api import Client, Request  # noqa: E402
from node.devnet.anvil import find_anvil  # noqa: E402
from node.devnet.world import Plan, World, running_devnet  # noqa: E402
from node.log import configure_logging  # noqa: E402

SERVING_S = 90.0
JOB_S = 90.0
WINDOW_S = 3
REQUEST = Request(
    max_price=10**16, verifier_fee=2 * 10**15, deadline=60, window=WINDOW_S, policy="price", allowed=None
)
_PROVED = re.compile(r"\bproved\b.*?detail='?(\d+) ms'?.*?order=([0-9a-f]+)")


async def measure(jobs: int, work: Path) -> dict[str, object]:
    """Return the latencies of `jobs` jobs, in milliseconds."""
    trained = subprocess.run(
        [sys.executable, "examples/credit/train.py", str(work / "credit")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    bundle = Path(json.loads(trained.stdout)["bundle"])
    inputs = json.loads((work / "credit" / "accepted.json").read_text())
    async with running_devnet(Plan(work / "devnet", find_anvil(), bundles=(bundle,))) as world:
        await _all_serve(world)
        taken: dict[str, float] = {}
        client = world.devnet.node("client")
        password = Path(world.devnet.password_file).read_text()
        async with Client(Path(client.data_dir), password) as running:
            for _ in range(jobs):
                with trio.fail_after(JOB_S):
                    started = perf_counter()
                    order = await running.submit(bundle, inputs, REQUEST)
                    await running.wait(order)
                    taken[order.hex()] = (perf_counter() - started) * 1000
        return _summary(taken, _proving_times(world))


async def _all_serve(world: World) -> None:
    provers = [node for node in world.devnet.nodes if node.role == "prover"]
    with trio.fail_after(SERVING_S):
        while not all("serving" in Path(node.log).read_text() for node in provers):
            await trio.sleep(0.1)


def _proving_times(world: World) -> dict[str, int]:
    """Milliseconds of each proof, by the start of its order's hash."""
    logs = (Path(node.log).read_text() for node in world.devnet.nodes if node.role == "prover")
    return {order: int(spent) for text in logs for spent, order in _PROVED.findall(text)}


def _summary(taken: dict[str, float], proofs: dict[str, int]) -> dict[str, object]:
    spent = {order: ms for order in taken for start, ms in proofs.items() if order.startswith(start)}
    if spent.keys() != taken.keys():
        raise SystemExit(f"the logs tell of {len(spent)} proofs for {len(taken)} jobs")
    rest = [taken[order] - spent[order] for order in taken]
    return {
        "jobs": len(taken),
        "bidding_window_ms": WINDOW_S * 1000,
        "block_ms": 1000,
        "submit_to_paid_ms_p50": round(statistics.median(taken.values())),
        "submit_to_paid_ms_max": round(max(taken.values())),
        "proving_ms_p50": round(statistics.median(spent.values())),
        "submit_to_paid_minus_proving_ms_p50": round(statistics.median(rest)),
        "submit_to_paid_minus_proving_ms_max": round(max(rest)),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=8)
    jobs = parser.parse_args().jobs
    configure_logging(level="error", format="console")
    with tempfile.TemporaryDirectory() as work:
        print(json.dumps(trio.run(measure, jobs, Path(work))))


if __name__ == "__main__":
    main()
