# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh bundle`: what bundles take on this disk, which stay, and which go."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import trio
import typer

from node.bundle_quota import Held
from node.cli.arguments import Session, fixed_bytes
from node.cli.bundles import store
from protocol.errors import UsageError

app = typer.Typer(no_args_is_help=True)

BundleId = Annotated[str, typer.Argument(metavar="BUNDLE", help="Id of a bundle.")]


@app.callback()
def bundle_group() -> None:
    """What bundles take on this disk, which of them stay, and which go when `bundle_quota_bytes` is reached."""


@app.command("list")
def list_bundles(context: typer.Context) -> None:
    """List the bundles on disk, the first to go first. A job of a running node may keep more of them."""
    session: Session = context.obj
    quota = store(session).quota
    held = quota.held()
    session.output.table(
        "Bundles, the least recently used first",
        ["bundle", "MB", "from", "last used", "stays because"],
        [
            [
                each.bundle_id.hex(),
                f"{each.size / 1e6:.1f}",
                _origin(each),
                _when(each.entry.used_at),
                each.kept_because,
            ]
            for each in held
        ],
    )
    taken = sum(each.size for each in held)
    limit = f"{quota.quota / 1e6:.0f} MB" if quota.quota else "no limit"
    session.output.say(f"{taken / 1e6:.1f} MB of {limit}.")
    session.output.result(
        {
            "quota_bytes": quota.quota,
            "taken_bytes": taken,
            "bundles": [
                {
                    "bundle_id": each.bundle_id,
                    "bytes": each.size,
                    "whole": each.whole,
                    "fetched": each.entry.fetched,
                    "pinned": each.entry.pinned,
                    "used_at": round(each.entry.used_at),
                    "kept_because": each.kept_because,
                }
                for each in held
            ],
        }
    )


@app.command()
def pin(context: typer.Context, bundle: BundleId) -> None:
    """Keep a bundle whatever the quota says. The node may be running."""
    _pin(context.obj, bundle, pinned=True)


@app.command()
def unpin(context: typer.Context, bundle: BundleId) -> None:
    """Let a bundle go again when room is needed. The node may be running."""
    _pin(context.obj, bundle, pinned=False)


@app.command()
def evict(context: typer.Context, bundle: BundleId) -> None:
    """Remove a fetched bundle, or what is there of one, from the disk. No node may be running on this data folder."""
    session: Session = context.obj
    bundle_id = fixed_bytes(bundle, 32, "a bundle id")
    with session.folder().locked():  # a running node knows what its jobs need; this command does not
        freed = trio.run(store(session).quota.evict, bundle_id)
    session.output.say(f"Freed {freed / 1e6:.1f} MB.")
    session.output.result({"bundle_id": bundle_id, "freed_bytes": freed})


def _pin(session: Session, bundle: str, *, pinned: bool) -> None:
    bundle_id = fixed_bytes(bundle, 32, "a bundle id")
    kept = store(session)
    if not any(each.bundle_id == bundle_id for each in kept.quota.held()):
        raise UsageError(f"Bundle {bundle_id.hex()} is not here.", remedy="See `proofmesh bundle list`.")
    kept.index.pin(bundle_id, pinned=pinned)
    session.output.say("It stays." if pinned else "It may go.")
    session.output.result({"bundle_id": bundle_id, "pinned": pinned, "at": round(time.time())})


def _origin(held: Held) -> str:
    return ("a peer" if held.entry.fetched else "here") + ("" if held.whole else ", not whole")


def _when(used_at: float) -> str:
    return datetime.fromtimestamp(used_at, UTC).isoformat(sep=" ", timespec="seconds") if used_at else "-"
