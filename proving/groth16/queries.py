# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proving key's points are multiples of, for a circuit and known secrets (Groth 2016, section 3.2).

With u_i, v_i, w_i the columns of A, B, C interpolated over the domain and evaluated at tau:
A_i = u_i, B_i = v_i, and (beta u_i + alpha v_i + w_i) over gamma = 1 for the public wires (IC) or over delta for the
private ones (C). H is snarkjs': the Lagrange basis of the domain twice as large at its odd points, over delta; this is
tau^i Z(tau) / delta in another basis, one that spares the prover an FFT.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints.system import ConstraintSystem
from proving.groth16.field import inverses, lagrange
from proving.sparse import Array, Sparse

LIMB_BITS = 16
_SMALL = 1 << 30
_CHUNK = 1 << 15
"""Of sums of this many products of a coefficient below 2^30 with a limb, 2^61, an int64 holds each."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The trapdoor of a set-up: whoever knows it can prove anything. gamma is 1."""

    tau: int
    alpha: int
    beta: int
    delta: int


@dataclass(frozen=True, slots=True)
class Queries:
    """Residues: `a` and `b` of each wire, `ic` of the one and the public wires, `c` of the private ones, `h`."""

    a: list[int]
    b: list[int]
    ic: list[int]
    c: list[int]
    h: list[int]


def queries_of(system: ConstraintSystem, secrets: Secrets) -> Queries:
    """Return the multiples that an honest key consists of."""
    power = system.domain.bit_length() - 1
    basis = lagrange(power, secrets.tau)
    a, b, c = (combine(matrix, basis[: system.constraints]) for matrix in (system.a, system.b, system.c))
    # snarkjs' rows for the one and the public wires; see zkey.coefficients_of.
    for wire in range(system.public + 1):
        a[wire] = (a[wire] + basis[system.constraints + wire]) % R
    mixed = [(secrets.beta * u + secrets.alpha * v + w) % R for u, v, w in zip(a, b, c, strict=True)]
    (by_delta,) = inverses([secrets.delta])
    private = [each * by_delta % R for each in mixed[system.public + 1 :]]
    h = [each * by_delta % R for each in lagrange(power + 1, secrets.tau)[1::2]]
    return Queries(a, b, mixed[: system.public + 1], private, h)


def combine(matrix: Sparse, weights: list[int]) -> list[int]:
    """Return `weights * matrix` in the field: one residue for each column.

    Coefficients are small and many (the weights of a model), so the residues are cut into limbs that numpy can
    multiply exactly; large coefficients (of Poseidon) are few and take Python's integers.
    """
    result = [0] * matrix.width
    if not len(matrix.indices):
        return result
    rows = matrix.row_of_entry()
    small = np.abs(matrix.values) < _SMALL if matrix.values.dtype != object else _is_small(matrix.values)
    for row, column, value in zip(
        rows[~small].tolist(), matrix.indices[~small].tolist(), matrix.values[~small].tolist(), strict=True
    ):
        result[column] = (result[column] + value * weights[row]) % R
    values, columns, rows = matrix.values[small].astype(np.int64), matrix.indices[small], rows[small]
    order = np.argsort(columns, kind="stable")
    values, columns, rows = values[order], columns[order], rows[order]
    starts = _starts(columns)
    limbs = np.frombuffer(b"".join(each.to_bytes(32, "little") for each in weights), "<u2").reshape(-1, 16)
    totals = [0] * len(starts)
    for limb in range(limbs.shape[1] if len(starts) else 0):
        sums = np.add.reduceat(values * limbs[rows, limb].astype(np.int64), starts).tolist()
        shift = LIMB_BITS * limb
        totals = [total + (part << shift) for total, part in zip(totals, sums, strict=True)]
    for column, total in zip(columns[starts].tolist() if len(starts) else (), totals, strict=True):
        result[column] = (result[column] + total) % R
    return result


def _is_small(values: Array) -> Array:
    return np.fromiter((-_SMALL < each < _SMALL for each in values), bool, len(values))


def _starts(columns: Array) -> Array:
    """Return where runs of one column begin, long ones cut so that no sum passes an int64."""
    if not len(columns):
        return np.zeros(0, np.int64)
    changes = np.flatnonzero(np.diff(columns)) + 1
    return np.union1d(np.concatenate(([0], changes)), np.arange(0, len(columns), _CHUNK))
