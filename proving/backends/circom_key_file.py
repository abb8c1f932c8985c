# SPDX-License-Identifier: GPL-3.0-or-later
"""What groth16py 0.2.0 saves for a Circom circuit: its constraints and its witness program.

The wheel's compiler gives neither file away, but a saved key carries both: after the key's points come
`u64 length, wasm bytes, u8 0, u64 wires, u64 public, u64 rows` and then, for each row, A, B and C as a `u64` count and
so many `u64 wire, 32-byte coefficient`, all little-endian. The points (of a set-up that nobody uses) are skipped.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from protocol.errors import MalformedCircuitError
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints.system import ConstraintSystem
from proving.sparse import Sparse, exact

_MAGIC = b"g16pk1"
_WASM = b"\0asm\x01\0\0\0"
_TAIL = struct.Struct("<BQQQ")
_COUNT = struct.Struct("<Q")
_ENTRY_BYTES = 40


def read(data: bytes) -> tuple[ConstraintSystem, bytes]:
    """Return the constraints and the WebAssembly of a saved key.

    Raises:
        MalformedCircuitError: the file is not one of a Circom circuit, or of another version of groth16py.
    """
    if not data.startswith(_MAGIC):
        raise MalformedCircuitError("This is not a key of groth16py.")
    start = data.find(_WASM)
    while start >= len(_MAGIC) + _COUNT.size:
        (length,) = _COUNT.unpack_from(data, start - _COUNT.size)
        if start + length + _TAIL.size <= len(data):
            return _system(data, start + length), data[start : start + length]
        start = data.find(_WASM, start + 1)
    raise MalformedCircuitError("The key holds no witness program.")


def _system(data: bytes, at: int) -> ConstraintSystem:
    marker, wires, public, rows = _TAIL.unpack_from(data, at)
    at += _TAIL.size
    if marker != 0 or not public < wires < 1 << 32 or rows > (len(data) - at) // (3 * _COUNT.size):
        raise MalformedCircuitError("The constraints of the key are in no known form.")
    counts = np.zeros((rows, 3), dtype=np.int64)
    starts = np.zeros((rows, 3), dtype=np.int64)
    for row in range(rows):
        for side in range(3):
            if at + _COUNT.size > len(data):
                raise MalformedCircuitError("The constraints of the key are cut off.")
            (count,) = _COUNT.unpack_from(data, at)
            at += _COUNT.size
            counts[row, side], starts[row, side] = count, at
            at += count * _ENTRY_BYTES
    if at != len(data):
        raise MalformedCircuitError("The constraints of the key do not end where the file does.")
    a, b, c = (_matrix(data, wires, counts[:, side], starts[:, side]) for side in range(3))
    return ConstraintSystem(wires, public, a, b, c)


def _matrix(data: bytes, wires: int, counts: Any, starts: Any) -> Sparse:
    """Return one of the three matrices; columns rise in each row, and none is listed twice."""
    row = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    at = starts[row] + (np.arange(len(row)) - first[row]) * _ENTRY_BYTES
    column = np.array([_COUNT.unpack_from(data, each)[0] for each in at.tolist()], dtype=np.int64)
    raw = [int.from_bytes(data[each + 8 : each + _ENTRY_BYTES], "little") for each in at.tolist()]
    if len(column) and (int(column.max()) >= wires or max(raw) >= R):
        raise MalformedCircuitError("A constraint of the key names a wire or a number that does not exist.")
    values = [value if value <= R // 2 else value - R for value in raw]
    order = np.lexsort((column, row))
    column, row = column[order], row[order]
    if np.any((np.diff(column) == 0) & (np.diff(row) == 0)) or 0 in values:
        raise MalformedCircuitError("A constraint of the key lists a wire twice, or with a zero.")
    indptr = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    return Sparse(wires, indptr, column, exact([values[each] for each in order.tolist()]))
