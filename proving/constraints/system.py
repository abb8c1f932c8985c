# SPDX-License-Identifier: GPL-3.0-or-later
"""A rank-1 constraint system as three sparse matrices: `(A w) * (B w) = C w`, row by row, in BN254's scalar field."""

from __future__ import annotations

from dataclasses import dataclass

from proving.sparse import Sparse

ONE = 0
"""The wire that is 1."""


@dataclass(frozen=True, slots=True, eq=False)
class ConstraintSystem:
    """Wire 0 is the constant 1, wires 1 to `public` are the statement, the rest is private.

    Coefficients are signed integers (int64, or Python integers below the field's order in magnitude); files and
    keys take their residues. A row lists a wire once (snarkjs and arkworks disagree on what twice would mean).
    Linear rows are `0 * 0 = lc`: they cost nothing in a proving key.
    """

    wires: int
    public: int
    a: Sparse
    b: Sparse
    c: Sparse

    @property
    def constraints(self) -> int:
        return self.a.rows

    @property
    def domain(self) -> int:
        """The FFT size of Groth16 over this system: snarkjs adds a row for each public wire and for the one."""
        return 1 << max(1, (self.constraints + self.public).bit_length())
