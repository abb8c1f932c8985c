# SPDX-License-Identifier: GPL-3.0-or-later
"""Circuits and witnesses as iden3's binary files (.r1cs version 1, .wtns version 2).

Format: https://github.com/iden3/r1csfile/blob/master/doc/r1cs_bin_format.md. All numbers little-endian;
field elements have 32 bytes. In a combination wires are in rising order, so the bytes are a function of the
circuit alone.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from protocol.scalars import BN254_SCALAR_ORDER
from proving.circuit import ConstraintSystem, Lc

ELEMENT_BYTES = 32
_PRIME = BN254_SCALAR_ORDER.to_bytes(ELEMENT_BYTES, "little")


def r1cs_bytes(system: ConstraintSystem) -> bytes:
    """Return the .r1cs file. The last public wire (the binding) is an input, those before are outputs."""
    constraints = b"".join(_lc(lc) for row in system.constraints for lc in row)
    private = sum(1 for wire in system.inputs if wire > system.public)
    header = struct.pack("<I", ELEMENT_BYTES) + _PRIME
    header += struct.pack("<IIIIQI", system.wires, system.public - 1, 1, private, system.wires,
                          len(system.constraints))
    labels = struct.pack(f"<{system.wires}Q", *range(system.wires))
    return _file(b"r1cs", 1, ((1, header), (2, constraints), (3, labels)))


def wtns_bytes(values: Sequence[int]) -> bytes:
    """Return the .wtns file of all wires, which must be residues."""
    header = struct.pack("<I", ELEMENT_BYTES) + _PRIME + struct.pack("<I", len(values))
    body = b"".join(value.to_bytes(ELEMENT_BYTES, "little") for value in values)
    return _file(b"wtns", 2, ((1, header), (2, body)))


def _lc(lc: Lc) -> bytes:
    parts = [struct.pack("<I", len(lc))]
    for wire, coefficient in sorted(lc.items()):
        residue = coefficient % BN254_SCALAR_ORDER
        parts.append(struct.pack("<I", wire) + residue.to_bytes(ELEMENT_BYTES, "little"))
    return b"".join(parts)


def _file(magic: bytes, version: int, sections: Sequence[tuple[int, bytes]]) -> bytes:
    head = magic + struct.pack("<II", version, len(sections))
    return head + b"".join(struct.pack("<IQ", kind, len(body)) + body for kind, body in sections)
