# SPDX-License-Identifier: GPL-3.0-or-later
"""Circuits and witnesses as iden3's binary files (.r1cs version 1, .wtns version 2).

Format: https://github.com/iden3/r1csfile/blob/master/doc/r1cs_bin_format.md. All numbers little-endian; field
elements have 32 bytes. In a combination wires are in rising order, so the bytes are a function of the circuit
alone. A file that is read may come from anybody: every length is checked before anything of that length is made.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protocol.errors import MalformedCircuitError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.constraints.limbs import ELEMENT_BYTES, residues, signed
from proving.constraints.system import ConstraintSystem
from proving.sparse import Array, Sparse, exact

MAX_R1CS_BYTES = 1 << 31
CHUNK = 1 << 18
"""So many coefficients are written at once."""
_PRIME = BN254_SCALAR_ORDER.to_bytes(ELEMENT_BYTES, "little")
_ORDER_LIMBS = np.frombuffer(_PRIME, dtype="<u8")
_HEADER = struct.Struct("<I32sIIIIQI")
_ENTRY_WORDS = 1 + ELEMENT_BYTES // 4
_SECTIONS = {1: "header", 2: "constraints", 3: "labels"}


def r1cs_bytes(system: ConstraintSystem) -> bytes:
    """Return the .r1cs file. The last public wire (the binding) is an input, those before are outputs."""
    inputs = min(system.public, 1)
    header = _HEADER.pack(
        ELEMENT_BYTES, _PRIME, system.wires, system.public - inputs, inputs, 0, system.wires, system.constraints
    )
    labels = np.arange(system.wires, dtype="<u8").tobytes()
    return _file(b"r1cs", 1, ((1, header), (2, _rows(system)), (3, labels)))


def wtns_bytes(witness: Array) -> bytes:
    """Return the .wtns file of a witness, uint8[wires, 32]."""
    header = struct.pack("<I", ELEMENT_BYTES) + _PRIME + struct.pack("<I", len(witness))
    return _file(b"wtns", 2, ((1, header), (2, np.ascontiguousarray(witness).data)))


def _rows(system: ConstraintSystem) -> memoryview:
    """Return all rows: A, B and C of each, a count and so many (wire, coefficient). All of it is 32-bit words."""
    sides = (system.a, system.b, system.c)
    lengths = np.stack([np.diff(each.indptr) for each in sides], axis=1).ravel()
    words = 1 + _ENTRY_WORDS * lengths
    starts = (np.cumsum(words) - words).reshape(-1, len(sides))
    data = np.zeros(int(words.sum()), dtype="<u4")
    data[starts.ravel()] = lengths
    for side, matrix in enumerate(sides):
        row = matrix.row_of_entry()
        place = np.arange(len(row), dtype=np.int64) - matrix.indptr[row]
        at = starts[row, side] + 1 + _ENTRY_WORDS * place
        data[at] = matrix.indices
        for begin in range(0, len(row), CHUNK):
            part = slice(begin, begin + CHUNK)
            halves = residues(matrix.values[part]).astype("<u8", copy=False).view("<u4")
            for word in range(halves.shape[1]):
                data[at[part] + 1 + word] = halves[:, word]
    return data.view(np.uint8).data


def _file(magic: bytes, version: int, sections: Sequence[tuple[int, bytes | memoryview]]) -> bytes:
    parts: list[bytes | memoryview] = [magic + struct.pack("<II", version, len(sections))]
    for kind, body in sections:
        size = body.nbytes if isinstance(body, memoryview) else len(body)
        parts += [struct.pack("<IQ", kind, size), body]
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class _Header:
    wires: int
    public: int
    constraints: int


def read_r1cs(data: bytes) -> ConstraintSystem:
    """Return the constraint system of a .r1cs file, such as Circom writes.

    Coefficients come back as integers of least magnitude, wires in rising order, zero coefficients left out.

    Raises:
        MalformedCircuitError: it is no such file of this field, is cut off or too long, or names a wire twice in a
            combination, or one that does not exist.
    """
    sections = _read_sections(data)
    header = _read_header(sections[1], len(sections[3]))
    words = np.frombuffer(sections[2], dtype="<u4") if len(sections[2]) % 4 == 0 else None
    if words is None or len(words) < 3 * header.constraints:
        raise MalformedCircuitError("The constraints of a circuit file are cut off.")
    starts, lengths = _walk(words, 3 * header.constraints)
    sides = [_read_side(words, starts[side::3], lengths[side::3], header.wires) for side in range(3)]
    return ConstraintSystem(header.wires, header.public, *sides)


def _read_sections(data: bytes) -> dict[int, memoryview]:
    if len(data) > MAX_R1CS_BYTES or len(data) < 12 or data[:4] != b"r1cs":
        raise MalformedCircuitError("This is no .r1cs file, or a very large one.")
    version, count = struct.unpack_from("<II", data, 4)
    if version != 1 or count != len(_SECTIONS):
        raise MalformedCircuitError("A circuit file must be .r1cs version 1, with header, constraints and labels only.")
    view, at, found = memoryview(data), 12, {}
    for _ in range(count):
        if at + 12 > len(data):
            raise MalformedCircuitError("A circuit file ends inside a section's header.")
        kind, size = struct.unpack_from("<IQ", data, at)
        at += 12
        if kind not in _SECTIONS or kind in found or size > len(data) - at:
            raise MalformedCircuitError(f"Section {kind} of a circuit file is unknown, there twice, or cut off.")
        found[kind] = view[at : at + size]
        at += size
    if at != len(data):
        raise MalformedCircuitError("A circuit file goes on after its last section.")
    return found


def _read_header(body: memoryview, label_bytes: int) -> _Header:
    if len(body) != _HEADER.size:
        raise MalformedCircuitError("The header of a circuit file has another size than this field's.")
    size, prime, wires, outputs, inputs, private, _, constraints = _HEADER.unpack(body)
    if size != ELEMENT_BYTES or prime != _PRIME:
        raise MalformedCircuitError("A circuit file is of another field than BN254's.")
    if label_bytes != 8 * wires or 1 + outputs + inputs + private > wires:
        raise MalformedCircuitError("The header of a circuit file names more wires than the file has.")
    return _Header(wires, outputs + inputs, constraints)


def _walk(words: Array, count: int) -> tuple[Array, Array]:
    """Return where the entries of each combination start, and how many there are."""
    at, end = 0, len(words)
    starts, lengths = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    for index in range(count):
        if at >= end:
            raise MalformedCircuitError("The constraints of a circuit file are cut off.")
        starts[index], lengths[index] = at + 1, words[at]
        at += 1 + _ENTRY_WORDS * int(words[at])
    if at != end:
        raise MalformedCircuitError("The constraints of a circuit file are cut off, or go on too long.")
    return starts, lengths


def _read_side(words: Array, starts: Array, lengths: Array, wires: int) -> Sparse:
    rows = np.repeat(np.arange(len(starts), dtype=np.int64), lengths)
    place = np.arange(len(rows), dtype=np.int64) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    at = starts[rows] + _ENTRY_WORDS * place
    columns = words[at].astype(np.int64)
    if len(columns) and int(columns.max()) >= wires:
        raise MalformedCircuitError("A constraint of a circuit file names a wire that does not exist.")
    halves = np.stack([words[at + 1 + word] for word in range(ELEMENT_BYTES // 4)], axis=1)
    limbs = np.ascontiguousarray(halves, dtype="<u4").view("<u8").reshape(-1, 4)
    if not _below_order(limbs).all():
        raise MalformedCircuitError("A coefficient of a circuit file is no field element.")
    values, big = signed(limbs)
    if big:
        values = values.astype(object)
        for entry, value in big.items():
            values[entry] = value
    key = rows * wires + columns
    order = np.argsort(key, kind="stable")
    if bool(np.any(np.diff(key[order]) == 0)):
        raise MalformedCircuitError("A combination in a circuit file lists a wire twice.")
    order = order[values[order] != 0]
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(rows[order], minlength=len(starts)))])
    return Sparse(wires, indptr, columns[order], exact(values[order]))


def _below_order(limbs: Array) -> Array:
    """Return which numbers are below the field's order: compared from the highest limb down."""
    below = np.zeros(len(limbs), dtype=bool)
    equal = np.ones(len(limbs), dtype=bool)
    for limb in range(limbs.shape[1] - 1, -1, -1):
        below |= equal & (limbs[:, limb] < _ORDER_LIMBS[limb])
        equal &= limbs[:, limb] == _ORDER_LIMBS[limb]
    return below
