# SPDX-License-Identifier: GPL-3.0-or-later
"""An opening on disk: what opens the commitments of one record, mode 0600, as private as the record.

Made by `proofmesh commit`, so that a commitment can be attested or enrolled before anything is proved about it, and by
`proofmesh prove --opening`. Proving with the same opening proves on exactly the same commitments.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from pathlib import Path

from protocol import bounded_json
from protocol.errors import SecretError, UsageError
from proving.settings import MAX_GROUPS
from proving.statement.commitment import Secrets, derive_blinding, order_secrets

FORMAT = "proofmesh.opening.v1"
MAX_BYTES = 1 << 16
_DIGITS = re.compile(r"[0-9]{1,77}")


def fresh_secrets(further_groups: int) -> Secrets:
    """Return secrets that belong to no order, drawn now."""
    secret = secrets.token_bytes(32)
    groups = [derive_blinding(secret, number.to_bytes(4, "big")) for number in range(further_groups)]
    return order_secrets(secret, secrets.token_bytes(32), groups)


def write_opening(path: Path, opening: Secrets) -> None:
    """Write an opening for its owner alone; an existing file is never overwritten.

    Raises:
        UsageError: the file is there already, or cannot be written.
    """
    fields = {
        "format": FORMAT,
        "blinding": str(opening.blinding),
        "output_key": str(opening.output_key),
        "groups": [str(each) for each in opening.groups],
        "output": str(opening.output),
    }
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UsageError(f"The opening cannot be written to {path} ({error.strerror}).") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(fields, file, indent=1)


def read_opening(path: Path) -> Secrets:
    """Read an opening.

    Raises:
        UsageError: there is no such file, or it is none; the message shows nothing of it.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError
        fields = bounded_json.loads(path.read_text("ascii"))
        if not isinstance(fields, dict) or fields.get("format") != FORMAT:
            raise ValueError
        groups = fields["groups"]
        if not isinstance(groups, list) or len(groups) >= MAX_GROUPS:
            raise ValueError
        blinding, output_key, output = (_element(fields[name]) for name in ("blinding", "output_key", "output"))
        return Secrets(blinding, output_key, tuple(map(_element, groups)), output)
    except OSError as error:
        raise UsageError(f"The opening {path} cannot be read ({error.strerror}).") from None
    except (KeyError, ValueError, RecursionError, SecretError):
        raise UsageError(f"{path} is no opening.", remedy="Make one with `proofmesh commit`.") from None


def _element(value: object) -> int:
    if not isinstance(value, str) or not _DIGITS.fullmatch(value):
        raise ValueError
    return int(value)
