# SPDX-License-Identifier: GPL-3.0-or-later
"""A pair of keys as the rest of proving/ passes it on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Keys:
    """A proving key on disk (.zkey) and the verifying key as the words of docs/adr/0001.

    `setup_id` names the phase 1; programs with the same one can be verified in one batch. `dev` says that anybody can
    forge proofs under the key.
    """

    proving_key: Path
    verifying_key: tuple[int, ...]
    setup_id: bytes
    dev: bool
