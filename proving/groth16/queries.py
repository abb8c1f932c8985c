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
"""So many products of a coefficient below 2^30 and a limb sum to less than 2^61, carry included below 2^62."""


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
    h = [each * by_delta % R for each in lagrange(power + 1, secrets.tau, first=1, step=2)]
    return Queries(a, b, mixed[: system.public + 1], private, h)


def combine(matrix: Sparse, weights: list[int]) -> list[int]:
    """Return `weights * matrix` in the field: one residue for each column."""
    return _accumulate(matrix.values, matrix.row_of_entry(), matrix.indices, weights, matrix.width)


def apply(matrix: Sparse, weights: list[int]) -> list[int]:
    """Return `matrix * weights` in the field: one residue for each row."""
    return _accumulate(matrix.values, matrix.indices, matrix.row_of_entry(), weights, matrix.rows)


def _accumulate(values: Array, sources: Array, targets: Array, weights: list[int], size: int) -> list[int]:
    """Add each value times the weight of its source to its target.

    Coefficients are small and many (the weights of a model), so the residues are cut into limbs that numpy can
    multiply exactly; large coefficients (of Poseidon) are few and take Python's integers.
    """
    result = [0] * size
    small = _is_small(values)
    for value, source, target in zip(*(each[~small].tolist() for each in (values, sources, targets)), strict=True):
        result[target] = (result[target] + value * weights[source]) % R
    values, sources, targets = values[small].astype(np.int64), sources[small], targets[small]
    order = np.argsort(targets, kind="stable")
    values, sources, targets = values[order], sources[order], targets[order]
    limbs = np.frombuffer(b"".join(each.to_bytes(32, "little") for each in weights), "<u2").reshape(-1, 16)
    starts = _starts(targets)
    if not len(starts):
        return result
    digits, carry = np.empty((len(starts), limbs.shape[1]), "<u2"), np.zeros(len(starts), np.int64)
    for limb in range(limbs.shape[1]):
        carry += np.add.reduceat(values * limbs[sources, limb].astype(np.int64), starts)
        digits[:, limb] = carry & (1 << LIMB_BITS) - 1
        carry >>= LIMB_BITS
    data = digits.tobytes()
    for index, (target, high) in enumerate(zip(targets[starts].tolist(), carry.tolist(), strict=True)):
        low = int.from_bytes(data[32 * index : 32 * index + 32], "little")
        result[target] = (result[target] + low + (high << 256)) % R
    return result


def _is_small(values: Array) -> Array:
    if values.dtype != object:
        return np.abs(values) < _SMALL
    return np.fromiter((-_SMALL < each < _SMALL for each in values), bool, len(values))


def _starts(targets: Array) -> Array:
    """Return where runs of one target begin, long ones cut so that no sum passes an int64."""
    if not len(targets):
        return np.zeros(0, np.int64)
    changes = np.flatnonzero(np.diff(targets)) + 1
    return np.union1d(np.concatenate(([0], changes)), np.arange(0, len(targets), _CHUNK))
