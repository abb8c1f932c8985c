# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make coverage` makes of a trace: nothing unreached passes without its reason, no reason without its line."""

from __future__ import annotations

import pytest

from contracts import coverage
from contracts.toolchain import SOURCES

FILE = "src/Groth16Batch.sol"
LINE = "if (!done) revert Groth16.ProofInvalid();"
PLACE = (SOURCES / "Groth16Batch.sol").read_text(encoding="utf-8").splitlines().index(f"        {LINE}") + 1


@pytest.mark.parametrize(
    ("points", "open_", "code"),
    [
        (f"BRDA:{PLACE},0,0,-", [], 0),
        (f"DA:{PLACE},3\nBRDA:{PLACE},0,0,2", [], 1),
        (f"BRDA:{PLACE},0,0,-\nDA:1,0", [(FILE, "// SPDX-License-Identifier: GPL-3.0-or-later")], 1),
    ],
    ids=["unreached and explained", "explained and reached", "unreached and not explained"],
)
def test_each_unreached_line_has_its_reason(points: str, open_: list[tuple[str, str]], code: int) -> None:
    counts, unreached = coverage.measured(f"SF:{FILE}\n{points}\nend_of_record\nSF:test/Market.sol\nDA:1,0\n")
    assert set(counts) == {FILE}
    assert coverage.report(counts, unreached) == (open_, code)
