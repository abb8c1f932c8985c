# SPDX-License-Identifier: GPL-3.0-or-later
"""Many multiples of the two generators, by tables of windows and on all processors.

zksnake multiplies in 95 us (G1) and 300 us (G2) but adds in 0.5 and 1.4 us. A scalar cut into windows of w bits costs
254/w additions of table entries; making affine coordinates of the sum costs another 6 us. Larger jobs are shared
with other processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import getitem
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proving.groth16 import field
from proving.groth16.binfile import Bytes
from proving.groth16.curve import G1, G1_BYTES, G2, G2_BYTES, INFINITY_G1, INFINITY_G2, raw_g1, raw_g2
from proving.groth16.sharing import processes_for, serve, shared

SCALAR_BITS = 254
MAX_WINDOW = 15
"""2^15 entries for each of 17 windows are 70 MB in G1."""
WORTH_A_PROCESS = 20_000
"""Multiples (G2 counts threefold) that take longer than to start an interpreter with numpy."""
_MODULE = "proving.groth16.fixed_base"
_G1, _G2 = b"1", b"2"


def multiples_g1(scalars: Sequence[int], processes: int | None = None) -> Bytes:
    """Return raw points uint8[n, 64]: residues times the generator of G1."""
    return _distinct(_G1, scalars, processes)


def multiples_g2(scalars: Sequence[int], processes: int | None = None) -> Bytes:
    """Return raw points uint8[n, 128]: residues times the generator of G2."""
    return _distinct(_G2, scalars, processes)


def _distinct(group: bytes, scalars: Sequence[int], processes: int | None) -> Bytes:
    """Multiply each scalar once: in a key many wires share their points."""
    place: dict[int, int] = {}
    where = np.fromiter((place.setdefault(each, len(place)) for each in scalars), np.int64, len(scalars))
    data = field.to_bytes(list(place))
    work = len(data) * (3 if group == _G2 else 1)
    return shared(_MODULE, _multiples, group, data, processes or processes_for(work, WORTH_A_PROCESS))[where]


def _multiples(group: bytes, scalars: Bytes) -> Bytes:
    generator, zero, raw, width = (
        (G1, INFINITY_G1, raw_g1, G1_BYTES) if group == _G1 else (G2, INFINITY_G2, raw_g2, G2_BYTES)
    )
    window = min(range(1, MAX_WINDOW + 1), key=lambda w: -(-SCALAR_BITS // w) * (len(scalars) + (1 << w)))
    tables = _tables(generator, zero, window)
    points = (raw(sum(map(getitem, tables, row), zero)) for row in _digits(scalars, window))
    return np.frombuffer(b"".join(points), np.uint8).reshape(len(scalars), width)


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


if __name__ == "__main__":
    serve(_multiples, len(_G1), field.ELEMENT_BYTES)
