# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimates: key sizes are exact, a calibration fits what was measured, and a measurement is of real proofs."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import ConfigError
from proving.backends.base import Size
from proving.backends.estimate import (
    REFERENCE,
    Calibration,
    Sample,
    bits_circuit,
    estimate,
    fit,
    key_bytes,
    measure,
    size_of,
)
from proving.constraints.check import violated, violations
from proving.groth16.dev_setup import dev_keys


def test_the_measured_circuit_holds_and_notices_a_change() -> None:
    system, witness = bits_circuit(500)
    assert (system.constraints, system.domain) == (500, 512)
    assert violated(system, witness) is None
    witness[9, 0] ^= 1
    assert len(violations(system, witness)) > 0


def test_the_size_of_a_key_is_known_before_it_is_made(tmp_path: Path) -> None:
    system, _ = bits_circuit(252)
    dev_keys(system, bytes(32), tmp_path / "key.zkey")
    assert abs((tmp_path / "key.zkey").stat().st_size - key_bytes(size_of(system))) < 200


def test_a_fit_gives_back_what_the_samples_follow() -> None:
    truth = Calibration(prove_fixed_ms=6.0, prove_domain_us=14.0, setup_fixed_ms=300.0, setup_point_us=25.0)
    samples = []
    for power in (10, 12, 14):
        size = Size((1 << power) - 4, 1 << power, 3, 1 << power, 3 << power)
        expected = estimate(size, truth)
        samples.append(Sample(size, expected.setup_ms, expected.proving_ms))
    found = fit(samples)
    for name in ("prove_fixed_ms", "prove_domain_us", "setup_fixed_ms", "setup_point_us"):
        assert getattr(found, name) == pytest.approx(getattr(truth, name), rel=1e-6)


def test_a_fixed_part_is_never_negative_and_one_size_is_not_enough() -> None:
    small, large = Size(1000, 1024, 3, 1000, 3000), Size(4000, 4096, 3, 4000, 12000)
    found = fit([Sample(small, 10.0, 10.0), Sample(large, 100.0, 100.0)])
    assert found.prove_fixed_ms == 0.0 and found.prove_domain_us > 0
    with pytest.raises(ValueError):
        fit([Sample(small, 1.0, 1.0)])


def test_larger_circuits_cost_more_and_the_reference_is_near_the_measured_figures() -> None:
    sizes = [Size(n - 4, n, 3, n, 3 * n) for n in (1 << 12, 1 << 14, 1 << 17)]
    costs = [estimate(size) for size in sizes]
    assert costs[0].proving_ms < costs[1].proving_ms < costs[2].proving_ms
    # FACTS: 70 ms, 0.25 s and 1.85 s; a circuit with more hashing takes longer.
    for cost, measured in zip(costs, (70, 250, 1850), strict=True):
        assert cost.proving_ms == pytest.approx(measured, rel=0.35)


NEGATIVE = REFERENCE.to_json().replace("8.0", "-8.0")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"prove_fixed_ms": "x"}', NEGATIVE])
def test_a_damaged_calibration_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError):
        Calibration.from_json(text)


def test_a_calibration_survives_its_file() -> None:
    assert Calibration.from_json(REFERENCE.to_json()) == REFERENCE


def test_measuring_makes_real_proofs() -> None:
    found = measure(powers=(7, 9), proofs=1)
    assert found.prove_domain_us > 0 or found.prove_fixed_ms > 0
