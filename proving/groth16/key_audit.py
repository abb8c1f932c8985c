# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a proving key the honest key of a circuit? Every point of it is checked, and nothing is taken on trust.

Why all of it: proofs can be valid and yet not hide their witness. With delta1, beta1 and all of B1 at infinity
a proof's A is a function of the witness alone, so guesses can be tested against it, and it still verifies.
The engine's loader checks nothing, so this must come before the first private witness.

A claim about each of many points is checked as one about their sum with random weights of 128 bits. What is
expected comes from the secrets of a development key or from powers of tau. For those, an honest H leaves one freedom
(snarkjs' files of the exact size drop the highest power): adding one point times the odd roots of unity to H; it
multiplies the highest coefficient of A B - C, which is zero for every satisfied witness, so no proof shows it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from zksnake._algebra import polynomial_bn254

from protocol.errors import AuditError, KeyMaterialError
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints.system import ConstraintSystem
from proving.groth16.binfile import Bytes
from proving.groth16.curve import (
    G1,
    G2,
    PointG1,
    PointG2,
    check_on_curve_g1,
    check_on_curve_g2,
    point_g1,
    point_g2,
    raw_g1,
    raw_g2,
    raw_infinity,
)
from proving.groth16.field import powers, root_of_unity
from proving.groth16.lagrange_points import interpolated
from proving.groth16.pairing import same_ratio
from proving.groth16.phase1 import check_powers
from proving.groth16.point_sums import check_subgroup_g2, random_weights, sum_g1, sum_g2
from proving.groth16.ptau import Ptau
from proving.groth16.queries import Secrets, apply, queries_of
from proving.groth16.verifying_key import check_words
from proving.groth16.zkey import ZKey, coefficients_of, read_zkey, verifying_words


def audit_key(
    system: ConstraintSystem,
    zkey: Path,
    setup: Secrets | Ptau,
    verifying_key: tuple[int, ...],
    *,
    powers_checked: bool = False,
) -> None:
    """Check a whole proving key against its circuit, its set-up and its verifying key.

    `setup` is `DevPhase1().secrets(circuit_hash)` or a file of powers of tau; of this what is used is checked as well,
    unless the caller did so (`powers_checked`). Whether delta comes from a ceremony is for ceremony.py.

    Raises:
        AuditError: the key is not the honest key of the circuit; the message says what is wrong.
    """
    try:
        key = read_zkey(zkey)
        _check_form(system, key, verifying_key)
        if isinstance(setup, Secrets):
            _check_known(system, key, setup)
        else:
            if not powers_checked:
                check_powers(setup, system.domain)
            _check_powers_of_tau(system, key, setup)
    except KeyMaterialError as error:
        raise AuditError(f"The proving key fails its audit: {error.message}") from None


def _check_form(system: ConstraintSystem, key: ZKey, verifying_key: tuple[int, ...]) -> None:
    """Check what does not depend on the set-up: dimensions, coefficients, curve, subgroup, verifying key."""
    if (key.wires, key.public, key.domain) != (system.wires, system.public, system.domain):
        raise KeyMaterialError("It is for a circuit of other dimensions.")
    if key.coefficients.tobytes() != coefficients_of(system).tobytes():
        raise KeyMaterialError("Its coefficients are not the circuit's.")
    if verifying_words(key) != verifying_key:
        raise KeyMaterialError("It belongs to another verifying key.")
    check_words(verifying_key, limit=None)
    if any(map(raw_infinity, (key.alpha1, key.beta1, key.beta2, key.delta1, key.delta2))):
        raise KeyMaterialError("alpha, beta or delta is at infinity, so that its proofs would not be blinded.")
    for name, points in (("IC", key.ic), ("A", key.a), ("B1", key.b1), ("C", key.c), ("H", key.h)):
        check_on_curve_g1(points, name)
    check_on_curve_g2(key.b2, "B2")
    check_subgroup_g2(key.b2, "B2")
    if key.gamma2 != raw_g2(G2):
        raise KeyMaterialError("gamma is not the generator.")
    delta1, delta2 = point_g1(key.delta1), point_g2(key.delta2)
    if not same_ratio(G1, delta1, G2, delta2):
        raise KeyMaterialError("delta is not the same in both groups.")
    if not same_ratio(G1, point_g1(key.beta1), G2, point_g2(key.beta2)):
        raise KeyMaterialError("beta is not the same in both groups.")


def _check_known(system: ConstraintSystem, key: ZKey, secrets: Secrets) -> None:
    """Check all points against multiples of the generators."""
    heads = (raw_g1(G1 * secrets.alpha), raw_g1(G1 * secrets.beta), raw_g1(G1 * secrets.delta))
    if (key.alpha1, key.beta1, key.delta1) != heads:
        raise KeyMaterialError("It is not of the development set-up that it claims.")
    expected = queries_of(system, secrets)
    for name, points, scalars in (
        ("IC", key.ic, expected.ic),
        ("A", key.a, expected.a),
        ("B1", key.b1, expected.b),
        ("C", key.c, expected.c),
        ("H", key.h, expected.h),
    ):
        weights = random_weights(len(points))
        if sum_g1(points, weights) != G1 * _dot(weights, scalars):
            raise KeyMaterialError(f"A point of {name} is not what the circuit makes it.")
    weights = random_weights(len(key.b2))
    if sum_g2(key.b2, weights) != G2 * _dot(weights, expected.b):
        raise KeyMaterialError("A point of B2 is not what the circuit makes it.")


def _check_powers_of_tau(system: ConstraintSystem, key: ZKey, ptau: Ptau) -> None:
    """Check all points against sums of powers of tau."""
    heads = tuple(each[0].tobytes() for each in (ptau.alpha_tau1, ptau.beta_tau1, ptau.beta2))
    if (key.alpha1, key.beta1, key.beta2) != heads:
        raise KeyMaterialError("It is not of these powers of tau.")
    expected = _Polynomials(system, ptau)
    for name, points, rows in (("A", key.a, expected.rows_a), ("B1", key.b1, expected.rows_b)):
        weights = random_weights(system.wires)
        if sum_g1(points, weights) != expected.sum_tau1(rows(weights)):
            raise KeyMaterialError(f"A point of {name} is not what the circuit makes it.")
    weights = random_weights(system.wires)
    if sum_g2(key.b2, weights) != expected.sum_tau2(expected.rows_b(weights)):
        raise KeyMaterialError("A point of B2 is not what the circuit makes it.")
    count = system.public + 1
    weights = random_weights(count)
    if sum_g1(key.ic, weights) != expected.sum_mixed([*weights, *[0] * (system.wires - count)]):
        raise KeyMaterialError("A point of IC is not what the circuit makes it.")
    delta2 = point_g2(key.delta2)
    weights = random_weights(len(key.c))
    if len(key.c):
        without_delta = expected.sum_mixed([*[0] * count, *weights])
        found = sum_g1(key.c, weights)
        both_zero = found.is_zero() and without_delta.is_zero()
        if not both_zero and not same_ratio(found, without_delta, G2, delta2):
            raise KeyMaterialError("A point of C is not what the circuit makes it.")
    weights = random_weights(system.domain - 1)
    if not same_ratio(sum_g1(key.h, _odd_values(weights, system.domain)), expected.sum_z(weights), G2, delta2):
        raise KeyMaterialError("A point of H is not what the powers of tau make it.")


class _Polynomials:
    """Sums of powers of tau whose coefficients come from the circuit."""

    def __init__(self, system: ConstraintSystem, ptau: Ptau) -> None:
        self._system, self._ptau = system, ptau

    def rows_a(self, weights: list[int]) -> list[int]:
        """Return A times the weights, with snarkjs' rows for the one and the public wires."""
        return [*apply(self._system.a, weights), *weights[: self._system.public + 1]]

    def rows_b(self, weights: list[int]) -> list[int]:
        return apply(self._system.b, weights)

    def sum_tau1(self, rows: list[int]) -> PointG1:
        """Return the point of the polynomial that has these values over the domain, at tau."""
        return sum_g1(self._ptau.tau1[: self._system.domain], interpolated(rows, self._system.domain))

    def sum_tau2(self, rows: list[int]) -> PointG2:
        return sum_g2(self._ptau.tau2[: self._system.domain], interpolated(rows, self._system.domain))

    def sum_mixed(self, weights: list[int]) -> PointG1:
        """Return the sum over all wires of weight times (beta u_i + alpha v_i + w_i)."""
        domain, ptau, system = self._system.domain, self._ptau, self._system
        points = np.concatenate((ptau.beta_tau1[:domain], ptau.alpha_tau1[:domain], ptau.tau1[:domain]))
        values = (self.rows_a(weights), self.rows_b(weights), apply(system.c, weights))
        return sum_g1(points, [each for rows in values for each in interpolated(rows, self._system.domain)])

    def sum_z(self, weights: list[int]) -> PointG1:
        """Return the point of (X^n - 1) sum_k weight_k X^k at tau."""
        domain, tau1 = self._system.domain, self._ptau.tau1
        negative = [R - each if each else 0 for each in weights]
        points: Bytes = np.concatenate((tau1[domain : 2 * domain - 1], tau1[: domain - 1]))
        return sum_g1(points, [*weights, *negative])


def _odd_values(weights: list[int], domain: int) -> list[int]:
    """Return (X^n - 1) sum_k weight_k X^k at the odd points of the domain of 2n, where X^n is -1."""
    shifts = powers(root_of_unity(domain.bit_length()), domain)
    moved = [weight * shift % R for weight, shift in zip(weights, shifts, strict=False)]
    values: list[int] = polynomial_bn254.fft([*moved, 0], domain)
    return [-2 * value % R for value in values]


def _dot(left: list[int], right: list[int]) -> int:
    return sum(a * b for a, b in zip(left, right, strict=True)) % R
