# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that nests without end is refused wherever it is parsed.

The wallet stack raises Python's recursion limit; with it the standard JSON parser takes the process down, so this
runs in one of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path
from proving.backends import circom_map, estimate, ezkl
from proving import private_weights
from protocol.errors import ProofmeshError
from sims import scenario

sys.setrecursionlimit(100_000)
deep, file = "[" * 200_000, Path(sys.argv[2])
file.write_text(deep)
calls = {
    "calibration": lambda: estimate.Calibration.from_json(deep),
    "weights": lambda: private_weights.read_weights(file, 1),
    "EZKL key": lambda: ezkl.backend().verify(deep.encode(), b"", ()),
    "scenario": lambda: scenario.from_json(deep),
    "input map": lambda: circom_map.parse_map(b"a = " + deep.encode()[: circom_map.MAX_MAP_BYTES - 4]),
}
try:
    print(calls[sys.argv[1]]())
except ProofmeshError as error:
    print(error.code)
"""


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("calibration", "PM-CFG-001"),
        ("weights", "PM-MDL-012"),
        ("EZKL key", "False"),
        ("scenario", "PM-USE-001"),
        ("input map", "PM-MDL-006"),
    ],
)
def test_it_is_refused_and_the_process_lives(tmp_path: Path, what: str, said: str) -> None:
    command = [sys.executable, "-c", PROGRAM, what, str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr[-2000:]
