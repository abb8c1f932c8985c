# SPDX-License-Identifier: GPL-3.0-or-later
"""Groth16 proving keys as snarkjs' .zkey files (version 1): the one key format, for development and ceremonies.

Sections: 1 protocol, 2 header with the verifying key's points, 3 IC, 4 coefficients of A and B, 5 A, 6 B1, 7 B2, 8 C
(which papers call L), 9 H, 10 contributions. Points are as in curve.py. The reader checks form and
sizes, not points: that is the audit's work (key_audit.py), and nothing may prove with a key before it.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import KeyMaterialError
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints.system import ConstraintSystem
from proving.groth16.binfile import Bytes, file_bytes, read_file, read_sections
from proving.groth16.contribution import Contribution, read_section, section_bytes
from proving.groth16.curve import G1_BYTES, G2_BYTES, words_g1, words_g2
from proving.groth16.verifying_key import BN254_BASE_ORDER as Q
from proving.sparse import Sparse

MAX_ZKEY_BYTES = 2 << 30
MAX_DOMAIN = 1 << 22
MAGIC, VERSION, GROTH16 = b"zkey", 1, 1
COEFFICIENT = np.dtype([("matrix", "<u4"), ("row", "<u4"), ("wire", "<u4"), ("value", "u1", (32,))])
"""An entry of A (matrix 0) or B (1); values are multiplied by 2^512 mod r."""

_HEADER = struct.Struct("<I32sI32sIII64s64s128s128s64s128s")


@dataclass(frozen=True, slots=True, eq=False)
class ZKey:
    """A proving key; points raw, arrays uint8[n, 64] (b2: uint8[n, 128]).

    `a`, `b1`, `b2` have a point for each wire, `c` for each private wire, `ic` for the one and each public wire,
    `h` for each point of the domain. `coefficients` has dtype `COEFFICIENT`.
    """

    wires: int
    public: int
    domain: int
    alpha1: bytes
    beta1: bytes
    beta2: bytes
    gamma2: bytes
    delta1: bytes
    delta2: bytes
    ic: Bytes
    coefficients: NDArray[Any]
    a: Bytes
    b1: Bytes
    b2: Bytes
    c: Bytes
    h: Bytes
    circuit_digest: bytes
    contributions: tuple[Contribution, ...] = ()


def read_zkey(path: Path, limit: int = MAX_ZKEY_BYTES) -> ZKey:
    """Return the key in a file; its arrays are views of the mapped file.

    Raises:
        KeyMaterialError: it is no .zkey of Groth16 over BN254, or a section has another size than the header says.
    """
    sections = read_sections(read_file(path, limit), MAGIC, (VERSION,), range(1, 11))
    if bytes(sections[1]) != GROTH16.to_bytes(4, "little") or len(sections[2]) != _HEADER.size:
        raise KeyMaterialError("A key is not one of Groth16.")
    q_bytes, q, r_bytes, r, wires, public, domain, *points = _HEADER.unpack(sections[2])
    alpha1, beta1, beta2, gamma2, delta1, delta2 = points
    orders = (32, Q, 32, R)
    if (q_bytes, int.from_bytes(q, "little"), r_bytes, int.from_bytes(r, "little")) != orders:
        raise KeyMaterialError("A key is not one over BN254.")
    if not public < wires or not 2 <= domain <= MAX_DOMAIN or domain & domain - 1:
        raise KeyMaterialError("A key has impossible dimensions.")
    digest, contributions = read_section(bytes(sections[10]))
    counts = {3: public + 1, 5: wires, 6: wires, 7: wires, 8: wires - public - 1, 9: domain}
    arrays = {kind: _points(sections[kind], count, kind) for kind, count in counts.items()}
    return ZKey(
        wires, public, domain, alpha1, beta1, beta2, gamma2, delta1, delta2,
        ic=arrays[3], coefficients=_coefficients(sections[4]),
        a=arrays[5], b1=arrays[6], b2=arrays[7], c=arrays[8], h=arrays[9],
        circuit_digest=digest, contributions=contributions,
    )


def zkey_bytes(key: ZKey) -> bytes:
    """Return a key as a .zkey file."""
    header = _HEADER.pack(
        32, Q.to_bytes(32, "little"), 32, R.to_bytes(32, "little"), key.wires, key.public, key.domain,
        key.alpha1, key.beta1, key.beta2, key.gamma2, key.delta1, key.delta2,
    )
    coefficients = len(key.coefficients).to_bytes(4, "little") + key.coefficients.tobytes()
    contributions = section_bytes(key.circuit_digest, key.contributions)
    sections: dict[int, bytes | Bytes] = {
        1: GROTH16.to_bytes(4, "little"), 2: header, 3: key.ic, 4: coefficients, 5: key.a, 6: key.b1, 7: key.b2,
        8: key.c, 9: key.h, 10: contributions,
    }
    return file_bytes(MAGIC, VERSION, sections)


def write_zkey(key: ZKey, path: Path) -> None:
    """Write a key as a whole or not at all: a reader never sees half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(zkey_bytes(key))
    os.replace(partial, path)


def verifying_words(key: ZKey) -> tuple[int, ...]:
    """Return the verifying key in a proving key, as the words of docs/adr/0001; unchecked."""
    words = [*words_g1(key.alpha1)]
    for point in (key.beta2, key.gamma2, key.delta2):
        words += words_g2(point)
    for row in key.ic:
        words += words_g1(row.tobytes())
    return tuple(words)


def coefficients_of(system: ConstraintSystem) -> NDArray[Any]:
    """Return the coefficient section of a circuit, in snarkjs' order: by row, A before B, wires rising.

    Below the circuit's rows A has one more for the one and each public wire, which makes the public inputs'
    polynomials independent.
    """
    if system.domain > MAX_DOMAIN:
        raise KeyMaterialError(f"The circuit's domain of {system.domain} passes {MAX_DOMAIN}.")
    parts = [_matrix_coefficients(matrix, each) for matrix, each in enumerate((system.a, system.b))]
    public = np.zeros(system.public + 1, COEFFICIENT)
    public["wire"] = np.arange(system.public + 1)
    public["row"] = public["wire"] + system.constraints
    public["value"] = _encoded([1])[0]
    entries = np.concatenate(parts)
    # Entries of one matrix are sorted already, so a stable sort by row and matrix leaves wires rising.
    order = np.argsort(entries["row"].astype(np.int64) * 2 + entries["matrix"], kind="stable")
    return np.concatenate((entries[order], public))


def _matrix_coefficients(matrix: int, entries: Sparse) -> NDArray[Any]:
    found = np.zeros(len(entries.indices), COEFFICIENT)
    found["matrix"] = matrix
    found["row"] = entries.row_of_entry()
    found["wire"] = entries.indices
    if len(found):
        values, places = np.unique(entries.values, return_inverse=True)
        found["value"] = _encoded(values.tolist())[places]
    return found


def _encoded(values: list[int]) -> Bytes:
    data = b"".join(((value << 512) % R).to_bytes(32, "little") for value in values)
    return np.frombuffer(data, np.uint8).reshape(-1, 32)


def _points(body: memoryview, count: int, kind: int) -> Bytes:
    width = G2_BYTES if kind == 7 else G1_BYTES
    if len(body) != count * width:
        raise KeyMaterialError(f"Section {kind} of a key has another size than its header says.")
    return np.frombuffer(body, np.uint8).reshape(count, width)


def _coefficients(body: memoryview) -> NDArray[Any]:
    if len(body) < 4 or len(body) != 4 + int.from_bytes(body[:4], "little") * COEFFICIENT.itemsize:
        raise KeyMaterialError("The coefficients of a key have another size than their count says.")
    return np.frombuffer(body, COEFFICIENT, offset=4)
