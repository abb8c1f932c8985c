# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh prover benchmark`: measure this machine, so that bids rest on what it does."""

from __future__ import annotations

from typing import Annotated

import typer

from node.calibration import proof_ms, write_calibration
from node.cli.arguments import Session
from proving.backends.estimate import Calibration, measure

SHOWN = (11, 13, 15, 17)


def benchmark(
    context: typer.Context,
    proofs: Annotated[int, typer.Option(min=1, max=20, help="Proofs at each size; the fastest counts.")] = 3,
) -> None:
    """Make real keys and proofs of three sizes and keep what this machine needs for them. Takes about 20 s."""
    session: Session = context.obj
    session.output.step("Making keys and proofs at 2^10, 2^12 and 2^14; run nothing else meanwhile ...")
    found: Calibration = measure(proofs=proofs)
    path = write_calibration(session.folder().path, found)
    rows = [[f"2^{power}", f"{proof_ms(1 << power, found):,.0f} ms"] for power in SHOWN]
    session.output.table("A proof on this machine", ["constraints, up to", "time"], rows)
    session.output.say(f"Kept in {path}; bids of models not proved here yet rest on it.")
    session.output.result({"calibration": found.to_json(), "path": str(path)})
