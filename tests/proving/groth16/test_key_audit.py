# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit of proving keys: honest ones pass, and each way to plant something in a key is named."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from proving_systems import Sample, sample

from protocol.errors import AuditError, KeyMaterialError
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.groth16 import engine, twist, zkey
from proving.groth16.curve import G1, G2, check_on_curve_g2, point_g1, point_g2, raw_g1, raw_g2
from proving.groth16.dev_setup import DevPhase1, dev_keys
from proving.groth16.fixed_base import multiples_g1, multiples_g2
from proving.groth16.key_audit import audit_key
from proving.groth16.keys import Keys
from proving.groth16.phase1 import check_powers
from proving.groth16.point_sums import check_subgroup_g2, random_weights, sum_g1, sum_g2
from proving.groth16.ptau import Ptau, dev_ptau, read_ptau
from proving.groth16.queries import Secrets
from proving.groth16.zkey import ZKey, read_zkey, verifying_words, write_zkey

CIRCUIT_HASH = b"\7" * 32
LEAST_FACTOR = 10069
"""The least prime in the cofactor of G2."""
Change = Callable[[ZKey], ZKey]


@pytest.fixture(scope="module")
def made() -> Sample:
    return sample(bits=20, public=3)


@pytest.fixture(scope="module")
def keys(made: Sample, tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return dev_keys(made.system, CIRCUIT_HASH, tmp_path_factory.mktemp("audit") / "k.zkey")


@pytest.fixture(scope="module")
def secrets() -> Secrets:
    return DevPhase1().secrets(CIRCUIT_HASH)


@pytest.fixture(scope="module")
def ptau(made: Sample, tmp_path_factory: pytest.TempPathFactory) -> Ptau:
    path = tmp_path_factory.mktemp("ptau") / "dev.ptau"
    dev_ptau(made.system.domain.bit_length() - 1, path)
    return read_ptau(path)


def test_an_honest_key_passes_by_secrets_and_by_powers(
    made: Sample, keys: Keys, secrets: Secrets, ptau: Ptau, tmp_path: Path
) -> None:
    audit_key(made.system, keys.proving_key, secrets, keys.verifying_key)
    audit_key(made.system, keys.proving_key, ptau, keys.verifying_key)
    dev_ptau(ptau.power + 1, tmp_path / "larger.ptau")
    audit_key(made.system, keys.proving_key, read_ptau(tmp_path / "larger.ptau"), keys.verifying_key)


def unblinded(key: ZKey) -> ZKey:
    """The key of an eavesdropper: its proofs verify, and their A is a function of the witness."""
    return dataclasses.replace(key, delta1=bytes(64), beta1=bytes(64), b1=np.zeros_like(key.b1))


def test_a_key_without_blinding_proves_and_verifies_and_gives_its_witness_away(
    made: Sample, keys: Keys, tmp_path: Path
) -> None:
    def firsts(path: Path) -> set[bytes]:
        key = engine.load_zkey(path, hashlib.sha256(path.read_bytes()).hexdigest())
        # prove_wtns verifies under the verifying key, which the change leaves alone.
        proofs = [engine.prove_wtns(key, made.wtns, keys.verifying_key, made.public_inputs) for _ in range(3)]
        assert len(set(proofs)) == 3
        return {proof[:64] for proof in proofs}

    assert len(firsts(keys.proving_key)) == 3
    write_zkey(unblinded(read_zkey(keys.proving_key)), tmp_path / "unblinded.zkey")
    assert len(firsts(tmp_path / "unblinded.zkey")) == 1


def put(field: str, index: int, raw: bytes) -> Change:
    def change(key: ZKey) -> ZKey:
        points = getattr(key, field).copy()
        points[index] = np.frombuffer(raw, np.uint8)
        return dataclasses.replace(key, **{field: points})

    return change


def swapped(field: str, first: int, second: int) -> Change:
    def change(key: ZKey) -> ZKey:
        points = getattr(key, field).copy()
        points[[first, second]] = points[[second, first]]
        return dataclasses.replace(key, **{field: points})

    return change


def moved(field: str) -> Change:
    """A generator more at one place and one less at another: the plain sum stays."""

    def change(key: ZKey) -> ZKey:
        points = getattr(key, field).copy()
        load, dump, one = (point_g2, raw_g2, G2) if field == "b2" else (point_g1, raw_g1, G1)
        for index, step in ((-2, one), (-1, -one)):
            points[index] = np.frombuffer(dump(load(points[index].tobytes()) + step), np.uint8)
        return dataclasses.replace(key, **{field: points})

    return change


def heads(**points: bytes) -> Change:
    return lambda key: dataclasses.replace(key, **points)  # type: ignore[arg-type]


def coefficient(change: Callable[[np.ndarray], None]) -> Change:
    def apply(key: ZKey) -> ZKey:
        coefficients = key.coefficients.copy()
        change(coefficients)
        return dataclasses.replace(key, coefficients=coefficients)

    return apply


def other_value(entries: np.ndarray) -> None:
    entries["value"][3, 0] ^= 1


def other_wire(entries: np.ndarray) -> None:
    entries["wire"][3] += 1


def other_order(entries: np.ndarray) -> None:
    entries[[3, 4]] = entries[[4, 3]]


def doubled_h(key: ZKey) -> ZKey:
    points = [raw_g1(point_g1(row.tobytes()) * 2) for row in key.h]
    return dataclasses.replace(key, h=np.frombuffer(b"".join(points), np.uint8).reshape(-1, 64))


def stray(order: int | None = None) -> twist.Point:
    """Return a point on the twist outside G2; of the given prime order, if one is named."""
    x = 1
    while True:
        root = twist.square_root(twist.right_side((x, 1)))
        if root is not None:
            found = twist.multiple(((x, 1), root), twist.COFACTOR * R // order) if order else ((x, 1), root)
            if found is not None:
                assert twist.multiple(found, R) is not None
                return found
        x += 1


def of_zksnake(point: Any) -> twist.Point:
    return (point.x[0], point.x[1]), (point.y[0], point.y[1])


SOME_G1, SOME_G2 = raw_g1(G1 * 99), raw_g2(G2 * 99)
NOT_CANONICAL = b"\xff" * 32 + raw_g1(G1)[32:]
PLANTED: dict[str, tuple[Change, str]] = {
    "unblinded": (unblinded, "infinity"),
    "delta1 alone": (heads(delta1=bytes(64)), "infinity"),
    "beta1 alone": (heads(beta1=bytes(64)), "infinity"),
    "empty B1": (lambda key: dataclasses.replace(key, b1=np.zeros_like(key.b1)), "B1"),
    "empty B2": (lambda key: dataclasses.replace(key, b2=np.zeros_like(key.b2)), "B2"),
    "delta1 of another delta": (heads(delta1=SOME_G1), "delta"),
    "beta1 of another beta": (heads(beta1=SOME_G1), "beta"),
    "alpha1": (heads(alpha1=SOME_G1), "another verifying key"),
    "delta2": (heads(delta2=SOME_G2), "another verifying key"),
    "gamma2": (heads(gamma2=SOME_G2), "another verifying key"),
    "IC": (put("ic", 1, SOME_G1), "another verifying key"),
    "coefficient's value": (coefficient(other_value), "coefficients"),
    "coefficient's wire": (coefficient(other_wire), "coefficients"),
    "coefficients' order": (coefficient(other_order), "coefficients"),
    "coefficient dropped": (lambda key: dataclasses.replace(key, coefficients=key.coefficients[:-1]), "coefficients"),
    "A swapped": (swapped("a", 5, 6), "of A"),
    "A moved": (moved("a"), "of A"),
    "B1 swapped": (swapped("b1", 6, 7), "B1"),
    "B2 swapped": (swapped("b2", 6, 7), "B2"),
    "B2 moved": (moved("b2"), "B2"),
    "C swapped": (swapped("c", 3, 4), "of C"),
    "C moved": (moved("c"), "of C"),
    "H swapped": (swapped("h", 3, 4), "of H"),
    "H moved": (moved("h"), "of H"),
    "H doubled": (doubled_h, "of H"),
    "infinity in A": (put("a", 6, bytes(64)), "of A"),
    "infinity in C": (put("c", 6, bytes(64)), "of C"),
    "infinity in H": (put("h", 6, bytes(64)), "of H"),
    "point off the curve": (put("c", 6, b"\1" + bytes(63)), "6 of C is not on the curve"),
    "point off the twist": (put("b2", 6, b"\1" + bytes(127)), "6 of B2 is not on the curve"),
    "coordinate beyond the field": (put("h", 2, NOT_CANONICAL), "2 of H is not on the curve"),
    "point outside the subgroup": (put("b2", 0, twist.raw(stray())), "subgroup"),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("by", ["secrets", "powers"])
def test_what_is_planted_is_found(
    name: str, by: str, made: Sample, keys: Keys, secrets: Secrets, ptau: Ptau, tmp_path: Path
) -> None:
    change, said = PLANTED[name]
    changed = change(read_zkey(keys.proving_key))
    path = tmp_path / "planted.zkey"
    path.write_bytes(zkey.zkey_bytes(changed))
    with pytest.raises(AuditError, match=said):
        audit_key(
            made.system, path, secrets if by == "secrets" else ptau, keys.verifying_key, powers_checked=True
        )


@pytest.mark.parametrize("name", ["alpha1", "IC"])
@pytest.mark.parametrize("by", ["secrets", "powers"])
def test_a_key_that_agrees_with_its_own_false_verifying_key_is_found(
    name: str, by: str, made: Sample, keys: Keys, secrets: Secrets, ptau: Ptau, tmp_path: Path
) -> None:
    changed = PLANTED[name][0](read_zkey(keys.proving_key))
    write_zkey(changed, tmp_path / "planted.zkey")
    setup = secrets if by == "secrets" else ptau
    with pytest.raises(AuditError):
        audit_key(made.system, tmp_path / "planted.zkey", setup, verifying_words(changed), powers_checked=True)


def test_the_key_of_another_circuit_or_set_up_is_found(
    made: Sample, keys: Keys, secrets: Secrets, ptau: Ptau, tmp_path: Path
) -> None:
    other = sample(bits=20, public=3, seed=1)
    with pytest.raises(AuditError):
        audit_key(other.system, keys.proving_key, secrets, keys.verifying_key)
    with pytest.raises(AuditError):
        audit_key(other.system, keys.proving_key, ptau, keys.verifying_key)
    for stranger in (DevPhase1(b"another seed").secrets(CIRCUIT_HASH), DevPhase1().secrets(bytes(32))):
        with pytest.raises(AuditError, match="set-up"):
            audit_key(made.system, keys.proving_key, stranger, keys.verifying_key)
    dev_ptau(ptau.power, tmp_path / "other.ptau", DevPhase1(b"another seed"))
    with pytest.raises(AuditError, match="not of these powers"):
        audit_key(made.system, keys.proving_key, read_ptau(tmp_path / "other.ptau"), keys.verifying_key)


def test_points_of_small_order_hidden_in_g2_are_found() -> None:
    """A point of order 10069 vanishes from one random sum in 10069, from ten hardly ever."""
    small = stray(LEAST_FACTOR)
    assert twist.multiple(small, LEAST_FACTOR) is None
    honest = [of_zksnake(G2 * (index + 1)) for index in range(8)]
    points = b"".join(twist.raw(twist.add(each, small)) for each in honest)
    array = np.frombuffer(points, np.uint8).reshape(-1, 128)
    check_on_curve_g2(array, "B2")
    with pytest.raises(KeyMaterialError, match="subgroup"):
        check_subgroup_g2(array, "B2")


def powers_changed(ptau: Ptau, field: str, index: int) -> Ptau:
    points = getattr(ptau, field).copy()
    points[index] = np.frombuffer(SOME_G2 if points.shape[1] == 128 else SOME_G1, np.uint8)
    return dataclasses.replace(ptau, **{field: points})


@pytest.mark.parametrize("field", ["tau1", "tau2", "alpha_tau1", "beta_tau1", "beta2"])
def test_false_powers_of_tau_are_found(field: str, ptau: Ptau) -> None:
    count = 1 << ptau.power
    check_powers(ptau, count)
    for index in {0, len(getattr(ptau, field)) - 1}:
        with pytest.raises(KeyMaterialError):
            check_powers(powers_changed(ptau, field, index), count)
    with pytest.raises(KeyMaterialError, match="go up to"):
        check_powers(ptau, 2 * count)


def test_sums_are_those_of_zksnake() -> None:
    scalars = [0, 1, R - 1, 5, 1 << 200]
    weights = [R - 1, *random_weights(len(scalars) - 1)]
    total = sum(a * b for a, b in zip(scalars, weights, strict=True)) % R
    assert sum_g1(multiples_g1(scalars), weights) == G1 * total
    assert sum_g2(multiples_g2(scalars), weights) == G2 * total
    assert sum_g1(multiples_g1([7, R - 7]), [3, 3]).is_zero()


def test_no_byte_of_a_key_can_be_changed(made: Sample, keys: Keys, secrets: Secrets, tmp_path: Path) -> None:
    """But for the record of contributions, which ceremony.py checks."""
    data, path = keys.proving_key.read_bytes(), tmp_path / "changed.zkey"
    generator = random.Random(7)
    record = len(data) - 12 - 64 - 4
    for at in [*range(12), *(generator.randrange(record) for _ in range(60))]:
        changed = bytearray(data)
        changed[at] ^= 1 << generator.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(AuditError):
            audit_key(made.system, path, secrets, keys.verifying_key)


def test_damaged_powers_of_tau_are_refused(tmp_path: Path) -> None:
    dev_ptau(2, tmp_path / "p.ptau")
    data, path = (tmp_path / "p.ptau").read_bytes(), tmp_path / "damaged.ptau"
    read_ptau(tmp_path / "p.ptau")
    generator = random.Random(8)
    damaged = [data[: generator.randrange(len(data))] for _ in range(40)]
    damaged += [data + b"\0", b"zkey" + data[4:], data[:24] + b"\0" * 4 + data[28:]]
    # A power, a size or a section's number that is not what the rest says.
    damaged += [data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :] for at in (4, 8, 12, 16, 24, 60, 68, 72)]
    for each in damaged:
        path.write_bytes(each)
        with pytest.raises(KeyMaterialError):
            read_ptau(path)
