# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `proofmesh`: the node's commands with the simulator's beside them.

It is put together here because `node` and `sims` never import each other.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process, to its exit code."""
    # Imported here: a worker process loads the main module of its node again, and needs none of the commands.
    from node.cli.app import app
    from node.cli.app import main as run_cli
    from sims.cli import app as sim_app

    app.add_typer(sim_app, name="sim", help="Run the market in a simulated, faulty world.")
    run_cli()


if __name__ == "__main__":
    main()
