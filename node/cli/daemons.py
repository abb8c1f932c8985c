# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh prover run`, `verifier run`, `publisher run`: the daemons. One process may play several roles."""

from __future__ import annotations

from typing import Annotated

import trio
import typer

from node.cli.arguments import Session, fixed_bytes, network_of
from node.cli.benchmark import benchmark
from node.log import configure_logging
from node.runtime import running_node
from node.serving import keep_serving
from node.settings import Settings
from node.shutdown import run_until_signal
from protocol.errors import UsageError

DAEMON_ROLES = ("prover", "verifier", "publisher")

prover = typer.Typer(no_args_is_help=True)
verifier = typer.Typer(no_args_is_help=True)
publisher = typer.Typer(no_args_is_help=True)

Listen = Annotated[
    list[str] | None,
    typer.Option(help="Multiaddress to listen on, such as /ip4/0.0.0.0/tcp/4001. Repeatable."),
]
Bootstrap = Annotated[
    list[str] | None, typer.Option(help="Multiaddress of a peer to stay connected to. Repeatable.")
]
AlsoRole = Annotated[
    list[str] | None, typer.Option("--also", help="Another role of this process. Repeatable.")
]


@prover.callback()
def prover_group() -> None:
    """Prove jobs and earn."""


@verifier.callback()
def verifier_group() -> None:
    """Check proofs, settle them, earn the fee."""


@publisher.callback()
def publisher_group() -> None:
    """Serve your models' bundles to provers."""


prover.command("benchmark")(benchmark)


@prover.command("run")
def run_prover(
    context: typer.Context,
    bundle: Annotated[
        list[str] | None, typer.Option(help="Id of a bundle to serve; fetched from peers. Repeatable.")
    ] = None,
    listen: Listen = None,
    bootstrap: Bootstrap = None,
    also: AlsoRole = None,
    margin_bps: Annotated[
        int | None, typer.Option(help="Profit on top of cost, in 1/100 of a percent.")
    ] = None,
    wei_per_ms: Annotated[
        int | None, typer.Option(help="What a millisecond of proving costs, in wei.")
    ] = None,
    lock_above_ms: Annotated[int | None, typer.Option(help="Lock jobs estimated above this.")] = None,
) -> None:
    """Run a prover: bid on orders of the bundles it serves, prove, get paid. Ctrl-C stops it cleanly."""
    session: Session = context.obj
    settings = session.settings(
        listen=listen,
        bootstrap=bootstrap,
        prover__margin_bps=margin_bps,
        prover__wei_per_ms=wei_per_ms,
        prover__lock_above_ms=lock_above_ms,
    )
    wanted = [fixed_bytes(text, 32, "a bundle id") for text in bundle or []]
    _run(session, settings, ["prover", *(also or [])], wanted)


@verifier.command("run")
def run_verifier(
    context: typer.Context,
    listen: Listen = None,
    bootstrap: Bootstrap = None,
    also: AlsoRole = None,
    least_fee: Annotated[str | None, typer.Option(help="Least fee, in wei.")] = None,
) -> None:
    """Run a verifier node: check proofs off-chain, settle them, earn the fee. Ctrl-C stops it cleanly."""
    session: Session = context.obj
    settings = session.settings(listen=listen, bootstrap=bootstrap, verifier__least_fee_wei=least_fee)
    _run(session, settings, ["verifier", *(also or [])], [])


@publisher.command("run")
def run_publisher(
    context: typer.Context, listen: Listen = None, bootstrap: Bootstrap = None, also: AlsoRole = None
) -> None:
    """Serve the bundles of this data folder to whoever asks for them by id."""
    session: Session = context.obj
    settings = session.settings(listen=listen, bootstrap=bootstrap)
    _run(session, settings, ["publisher", *(also or [])], [])


def _run(session: Session, settings: Settings, roles: list[str], bundles: list[bytes]) -> None:
    network_of(settings)
    roles = list(dict.fromkeys([*roles, *settings.roles]))
    for role in roles:
        if role not in DAEMON_ROLES:
            raise UsageError(f"{role!r} is no role of a daemon.", remedy=f"Use {', '.join(DAEMON_ROLES)}.")
    configure_logging(level=settings.log_level, format=settings.log_format)
    account = session.account()

    async def program() -> None:
        async with running_node(settings, session.folder(), account, roles) as node:
            context = node.context
            session.output.event(
                {
                    "up": True,
                    "roles": roles,
                    "account": account.address,
                    "addresses": list(context.transport.addresses),
                }
            )
            if "prover" in roles:
                configured = [fixed_bytes(text, 32, "a bundle id") for text in settings.prover.bundles]
                await keep_serving(node, [*configured, *bundles])
            await trio.sleep_forever()

    run_until_signal(program)
