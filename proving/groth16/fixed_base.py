# SPDX-License-Identifier: GPL-3.0-or-later
"""Many multiples of the two generators, by tables of windows and on all processors.

zksnake multiplies in 95 us (G1) and 300 us (G2) but adds in 0.5 and 1.4 us. A scalar cut into windows of w bits costs
254/w additions of table entries; making affine coordinates of the sum costs another 6 us. Larger jobs are shared
with processes of this module (`python -m`), fed by pipes: fork would copy other threads' locks, and
multiprocessing's spawn runs the caller's script again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from operator import getitem
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proving.groth16 import field
from proving.groth16.binfile import Bytes
from proving.groth16.curve import G1, G1_BYTES, G2, G2_BYTES, INFINITY_G1, INFINITY_G2, raw_g1, raw_g2

SCALAR_BITS = 254
MAX_WINDOW, MAX_PROCESSES = 15, 8
"""2^15 entries for each of 17 windows are 70 MB in G1; more processes than this would wait for memory."""
WORTH_A_PROCESS = 20_000
"""Multiples (G2 counts threefold) that take longer than to start an interpreter with numpy."""
_G1, _G2 = 1, 2


def multiples_g1(scalars: Sequence[int], processes: int | None = None) -> Bytes:
    """Return raw points uint8[n, 64]: residues times the generator of G1."""
    return _distinct(_G1, scalars, processes)


def multiples_g2(scalars: Sequence[int], processes: int | None = None) -> Bytes:
    """Return raw points uint8[n, 128]: residues times the generator of G2."""
    return _distinct(_G2, scalars, processes)


def _distinct(group: int, scalars: Sequence[int], processes: int | None) -> Bytes:
    """Multiply each scalar once: in a key many wires share their points."""
    place: dict[int, int] = {}
    where = np.fromiter((place.setdefault(each, len(place)) for each in scalars), np.int64, len(scalars))
    data = field.to_bytes(list(place))
    return _shared(group, data, processes or _processes(len(data) * (3 if group == _G2 else 1)))[where]


def _processes(work: int) -> int:
    return max(1, min(MAX_PROCESSES, len(os.sched_getaffinity(0)), work // WORTH_A_PROCESS))


def _shared(group: int, scalars: Bytes, processes: int) -> Bytes:
    """Compute one part here and the others in helpers; what a helper fails to do is done here."""
    parts = np.array_split(scalars, processes)
    helpers = [(part, _start(group, part)) for part in parts[1:]]
    results = [_multiples(group, parts[0])]
    for part, helper in helpers:
        output = helper.communicate()[0] if helper is not None else b""
        if helper is None or helper.returncode or len(output) != len(part) * _width(group):
            results.append(_multiples(group, part))
        else:
            results.append(np.frombuffer(output, np.uint8).reshape(len(part), _width(group)))
    return np.concatenate(results)


def _start(group: int, part: Bytes) -> subprocess.Popen[bytes] | None:
    command = [sys.executable, "-m", "proving.groth16.fixed_base", str(group)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    try:
        helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert helper.stdin is not None
        # The helper reads everything before it starts and answers when it is done, so no pipe fills up.
        helper.stdin.write(part.tobytes())
        helper.stdin.close()
        helper.stdin = None
    except OSError:
        return None
    return helper


def _width(group: int) -> int:
    return G1_BYTES if group == _G1 else G2_BYTES


def _multiples(group: int, scalars: Bytes) -> Bytes:
    generator, zero, raw = (G1, INFINITY_G1, raw_g1) if group == _G1 else (G2, INFINITY_G2, raw_g2)
    window = min(range(1, MAX_WINDOW + 1), key=lambda w: -(-SCALAR_BITS // w) * (len(scalars) + (1 << w)))
    tables = _tables(generator, zero, window)
    points = (raw(sum(map(getitem, tables, row), zero)) for row in _digits(scalars, window))
    return np.frombuffer(b"".join(points), np.uint8).reshape(len(scalars), _width(group))


def _tables(generator: Any, zero: Any, window: int) -> list[list[Any]]:
    """Return for each window the multiples 0 to 2^window - 1 of its weight times the generator."""
    tables, base = [], generator
    for _ in range(-(-SCALAR_BITS // window)):
        entries, entry = [], zero
        for _ in range(1 << window):
            entries.append(entry)
            entry = entry + base
        tables.append(entries)
        base = entry
    return tables


def _digits(scalars: Bytes, window: int) -> list[list[int]]:
    """Return the windows of each scalar, lowest first."""
    words: NDArray[np.uint64] = np.ascontiguousarray(scalars).view("<u8").astype(np.uint64)
    columns = []
    for low in range(0, SCALAR_BITS, window):
        word, shift = divmod(low, 64)
        digit = words[:, word] >> np.uint64(shift)
        if shift + window > 64 and word < 3:
            digit = digit | words[:, word + 1] << np.uint64(64 - shift)
        columns.append(digit & np.uint64((1 << window) - 1))
    digits: list[list[int]] = np.stack(columns, axis=1).astype(np.int64).tolist()
    return digits


def _serve(group: int) -> None:
    scalars = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(-1, field.ELEMENT_BYTES)
    sys.stdout.buffer.write(_multiples(group, scalars).tobytes())


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
