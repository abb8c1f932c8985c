# SPDX-License-Identifier: GPL-3.0-or-later
"""`deployment.json` in the data folder: where the contracts are, as `proofmesh deploy` wrote it."""

from __future__ import annotations

import os
from pathlib import Path

from contracts.deployment import MAX_FILE_BYTES, Deployment, parse_deployment
from protocol.errors import DeploymentFileError

NAME = "deployment.json"


def read_deployment(path: Path) -> Deployment | None:
    """Return what the file says; None when there is none.

    Raises:
        DeploymentFileError: it cannot be read, or is no deployment file.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DeploymentFileError(f"{path} cannot be read ({error.strerror}).") from None
    if len(raw) > MAX_FILE_BYTES:
        raise DeploymentFileError(f"{path} is larger than {MAX_FILE_BYTES} bytes.")
    try:
        return parse_deployment(raw.decode())
    except UnicodeDecodeError:
        raise DeploymentFileError(f"{path} is not UTF-8 text.") from None


def write_deployment(path: Path, deployment: Deployment) -> None:
    """Write the file, whole or not at all; never over one of other contracts.

    Raises:
        DeploymentFileError: there is such a one, or the file cannot be written.
    """
    require_room(path, deployment.chain_id, deployment.escrow)
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.write_text(deployment.to_json(), encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        raise DeploymentFileError(f"{path} cannot be written ({error.strerror}).") from None


def require_room(path: Path, chain_id: int, escrow: bytes) -> None:
    """Check that the file is missing, or is of this very Escrow.

    Raises:
        DeploymentFileError: it is of another one, or no deployment file.
    """
    found = read_deployment(path)
    if found is not None and (found.chain_id, found.escrow) != (chain_id, escrow):
        raise DeploymentFileError(
            f"{path} is of another deployment: chain {found.chain_id}, Escrow 0x{found.escrow.hex()}.",
            remedy="Move it away, or use another data folder.",
        )


def settings_of(deployment: Deployment) -> dict[str, object]:
    """Return the settings that follow from a deployment, by dotted key."""
    return {
        "chain_id": deployment.chain_id,
        "escrow": deployment.escrow,
        "registry": deployment.registry,
        "start_block": deployment.block,
    }
