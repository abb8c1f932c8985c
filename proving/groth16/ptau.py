# SPDX-License-Identifier: GPL-3.0-or-later
"""Powers of tau (phase 1) as snarkjs' .ptau files (version 1), and the development phase 1 in that form.

Sections: 1 header, 2 tau^k G1 (2^(p+1) - 1 of them), 3 tau^k G2, 4 alpha tau^k G1, 5 beta tau^k G1 (2^p each),
6 beta G2, 7 contributions; a prepared file also has the Lagrange bases of all domains of 1, 2, 4, ... points: 12 of
section 2 (up to 2^(p+1), where the missing highest power counts as zero), 13 of 3, 14 of 4, 15 of 5.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protocol.errors import KeyMaterialError
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.groth16.binfile import Bytes, file_bytes, read_file, read_sections
from proving.groth16.curve import G1_BYTES, G2_BYTES
from proving.groth16.dev_setup import DevPhase1
from proving.groth16.field import lagrange, powers, root_of_unity
from proving.groth16.fixed_base import multiples_g1, multiples_g2
from proving.groth16.verifying_key import BN254_BASE_ORDER as Q

MAX_PTAU_BYTES = 40 << 30
MAX_POWER = 22
TAU1, TAU2, ALPHA_TAU1, BETA_TAU1, BETA2, CONTRIBUTIONS = 2, 3, 4, 5, 6, 7
LAGRANGE_TAU1, LAGRANGE_TAU2, LAGRANGE_ALPHA1, LAGRANGE_BETA1 = 12, 13, 14, 15
_PREPARED = (LAGRANGE_TAU1, LAGRANGE_TAU2, LAGRANGE_ALPHA1, LAGRANGE_BETA1)
_HEADER = struct.Struct("<I32sII")


@dataclass(frozen=True, slots=True, eq=False)
class Ptau:
    """Powers of tau up to 2^power; raw points as views of the mapped file, unchecked (phase1.py checks them)."""

    power: int
    tau1: Bytes
    tau2: Bytes
    alpha_tau1: Bytes
    beta_tau1: Bytes
    beta2: Bytes
    lagrange_bases: dict[int, Bytes]

    @property
    def prepared(self) -> bool:
        return bool(self.lagrange_bases)

    def basis(self, section: int, power: int) -> Bytes:
        """Return the Lagrange basis of the domain of 2^power points from a section of a prepared file."""
        return self.lagrange_bases[section][(1 << power) - 1 : (2 << power) - 1]


def read_ptau(path: Path) -> Ptau:
    """Return the powers in a file.

    Raises:
        KeyMaterialError: it is no .ptau over BN254, or a section has another size than the header says.
    """
    required = range(1, CONTRIBUTIONS + 1)
    sections = read_sections(read_file(path, MAX_PTAU_BYTES), b"ptau", (1,), required, _PREPARED)
    if len(sections[1]) != _HEADER.size:
        raise KeyMaterialError("A .ptau file has a header of a wrong size.")
    size, order, power, _ = _HEADER.unpack(sections[1])
    if size != 32 or int.from_bytes(order, "little") != Q or not 1 <= power <= MAX_POWER:
        raise KeyMaterialError(f"A .ptau file is not over BN254, or has a power outside 1 to {MAX_POWER}.")
    if 0 < len(set(_PREPARED) & set(sections)) < len(_PREPARED):
        raise KeyMaterialError("A .ptau file is prepared in part.")
    count = 1 << power
    counts = {TAU1: 2 * count - 1, TAU2: count, ALPHA_TAU1: count, BETA_TAU1: count, BETA2: 1}
    if LAGRANGE_TAU1 in sections:
        counts |= {section: 2 * count - 1 for section in _PREPARED} | {LAGRANGE_TAU1: 4 * count - 1}
    found = {section: _points(sections[section], section, number) for section, number in counts.items()}
    bases = {section: found[section] for section in _PREPARED if section in found}
    return Ptau(power, found[TAU1], found[TAU2], found[ALPHA_TAU1], found[BETA_TAU1], found[BETA2], bases)


def dev_ptau(power: int, path: Path, phase1: DevPhase1 | None = None) -> None:
    """Write the development phase 1 as a prepared file, so that snarkjs can check development keys.

    It has no contributions: nobody made it, and `snarkjs powersoftau verify` says so.
    """
    secrets = (phase1 or DevPhase1()).secrets(b"")
    count, tau = 1 << power, secrets.tau
    monomials = powers(tau, 2 * count - 1)
    bases = [value for level in range(power + 1) for value in lagrange(level, tau)]
    top = pow(tau, 2 * count - 1, R) * pow(2 * count, -1, R) % R
    roots = powers(root_of_unity(power + 1), 2 * count)
    beyond = [(value - root * top) % R for value, root in zip(lagrange(power + 1, tau), roots, strict=True)]
    alpha, beta = secrets.alpha, secrets.beta
    in_g1 = {
        TAU1: monomials,
        ALPHA_TAU1: [alpha * value % R for value in monomials[:count]],
        BETA_TAU1: [beta * value % R for value in monomials[:count]],
        LAGRANGE_TAU1: bases + beyond,
        LAGRANGE_ALPHA1: [alpha * value % R for value in bases],
        LAGRANGE_BETA1: [beta * value % R for value in bases],
    }
    in_g2 = {TAU2: monomials[:count], BETA2: [beta], LAGRANGE_TAU2: bases}
    sections: dict[int, bytes | Bytes] = {
        1: _HEADER.pack(32, Q.to_bytes(32, "little"), power, power),
        CONTRIBUTIONS: bytes(4),
    }
    sections |= {section: multiples_g1(scalars) for section, scalars in in_g1.items()}
    sections |= {section: multiples_g2(scalars) for section, scalars in in_g2.items()}
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(file_bytes(b"ptau", 1, dict(sorted(sections.items()))))
    os.replace(partial, path)


def _points(body: memoryview, section: int, count: int) -> Bytes:
    width = G2_BYTES if section in (TAU2, BETA2, LAGRANGE_TAU2) else G1_BYTES
    if len(body) != count * width:
        raise KeyMaterialError(f"Section {section} of a .ptau file has another size than its power says.")
    return np.frombuffer(body, np.uint8).reshape(count, width)
