# SPDX-License-Identifier: GPL-3.0-or-later
"""Many seeds, one summary: `python -m sims.campaign --seeds 200 --nodes 8 --jobs 20`.

A failing seed prints its violation and the command that replays it. Exit code 1 when one run was unsafe,
6 when one was not live, 0 when all held.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace

from sims.run import Options, Outcome, simulate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m sims.campaign", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=20)
    asked = parser.parse_args(arguments)
    base = Options(nodes=asked.nodes, jobs=asked.jobs)
    outcomes = []
    for seed in range(asked.first, asked.first + asked.seeds):
        outcome = simulate(replace(base, seed=seed))
        outcomes.append(outcome)
        if outcome.violation is not None:
            print(
                f"seed {seed}: {outcome.violation}\n  replay: {replace(base, seed=seed).command()}",
                flush=True,
            )
    print(json.dumps(summary(outcomes)))
    return min((o.violation.exit_code for o in outcomes if o.violation is not None), default=0)


def summary(outcomes: Sequence[Outcome]) -> dict[str, int | list[int]]:
    """Return sums over all runs, and the seeds that failed."""
    keys = (
        "jobs",
        "settled",
        "refunded",
        "failed",
        "cancelled",
        "reauctions",
        "slashes",
        "reverts",
        "deaths",
    )
    sums: dict[str, int | list[int]] = {key: sum(int(o.figures[key]) for o in outcomes) for key in keys}
    failing = [int(o.figures["seed"]) for o in outcomes if o.violation is not None]
    return {"seeds": len(outcomes), **sums, "failing_seeds": failing}


if __name__ == "__main__":
    raise SystemExit(main())
