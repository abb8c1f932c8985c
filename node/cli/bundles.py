# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundles that a command names: by id in the data folder, or by folder."""

from __future__ import annotations

from pathlib import Path

from node.bundle_store import BundleStore, BundleUnknownError
from node.cli.arguments import Session, fixed_bytes
from protocol.errors import UsageError
from proving.bundle import Bundle, load


def store(session: Session, powers_of_tau: Path | None = None) -> BundleStore:
    """Return the bundles of the data folder."""
    return BundleStore(session.folder().bundles, powers_of_tau or session.settings().powers_of_tau)


def find(session: Session, name: str) -> Bundle:
    """Return the bundle of a folder or an id, every byte checked.

    Raises:
        BundleUnknownError: there is none of that name.
    """
    if (Path(name) / "manifest.json").is_file():
        return load(Path(name))
    try:
        identity = fixed_bytes(name, 32, "a bundle id")
    except UsageError:
        raise BundleUnknownError(f"{name[:80]!r} is no folder of a bundle, and no bundle id.") from None
    return store(session).load(identity)
