# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model's scores decide."""

from __future__ import annotations

from typing import Any


def decisions(scores: Any) -> Any:
    """Return the class of each row: largest score, or the sign where there is one score only."""
    return scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(axis=1)
