# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundles that a command names: by id in the data folder, or by folder; and what is done with strangers' ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import trio

from node.bundle_store import BundleStore, BundleUnknownError
from node.cli.arguments import Session, fixed_bytes
from node.settings import named_bundles
from node.workers import JobLimits, WorkerPool
from protocol.errors import UsageError
from proving.audit import AuditResult, audit_folder
from proving.bundle import Bundle, load
from proving.private_weights import weights_path

T = TypeVar("T")


def store(session: Session, powers_of_tau: Path | None = None) -> BundleStore:
    """Return the bundles of the data folder."""
    settings = session.settings()
    kept = BundleStore(
        session.folder().bundles, powers_of_tau or settings.powers_of_tau, quota_bytes=settings.bundle_quota_bytes
    )
    kept.quota.named |= named_bundles(settings)
    return kept


def find(session: Session, name: str) -> Bundle:
    """Return the bundle of a folder or an id, every byte checked.

    Raises:
        BundleUnknownError: there is none of that name.
    """
    if (Path(name) / "manifest.json").is_file():
        return load(Path(name).absolute())  # a confined process has a working folder of its own
    try:
        identity = fixed_bytes(name, 32, "a bundle id")
    except UsageError:
        raise BundleUnknownError(f"{name[:80]!r} is no folder of a bundle, and no bundle id.") from None
    return store(session).load(identity)


def audit(session: Session, bundle: Bundle, powers_of_tau: Path | None = None) -> AuditResult:
    """Audit a bundle in a confined process, again if it was audited before, and keep the result.

    Raises:
        AuditError: it is not what it says.
    """
    given = powers_of_tau or session.settings().powers_of_tau
    powers = None if given is None else given.absolute()
    result = confined(session, bundle, audit_folder, str(bundle.folder), bundle.id, powers, powers_of_tau=powers)
    store(session).remember(result)
    return result


def confined(
    session: Session, bundle: Bundle, function: Callable[..., T], *arguments: Any, powers_of_tau: Path | None = None
) -> T:
    """Return `function(*arguments)` from a process that sees a bundle, and no other file of this user."""
    settings = session.settings()
    limits = JobLimits(settings.worker_memory_bytes, settings.worker_seconds)
    powers = () if powers_of_tau is None else (powers_of_tau,)
    readable = (bundle.folder, weights_path(bundle.folder), *powers)

    async def run() -> T:
        async with WorkerPool(1, limits=limits, readable=readable) as pool:
            return await pool.run(function, *arguments)

    return trio.run(run)
