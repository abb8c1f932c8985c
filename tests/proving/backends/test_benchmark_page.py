# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's ratios are of one run, and its page says of each model what happened."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from benchmarks.proving.models import MODELS
from benchmarks.proving.ratios import NAMES, cold_seconds, ratios, warm_seconds
from benchmarks.proving.report import page

FIVE = [model.name for model in MODELS if model.five]


def _side(seconds: float, key_bytes: int, run: str = "a", error: float = 0.1) -> dict[str, Any]:
    return {
        "status": "done", "run": run, "witness_s": [0.0] * 4, "prove_s": [10 * seconds, seconds, seconds, 3 * seconds],
        "key_bytes": key_bytes, "max_error": error, "rows": 1000, "setup_s": 1.0, "prove_peak_bytes": 10**8,
        "proof_bytes": 256, "verify_s": 0.002, "verify_gas": 250_000, "agreement": 1.0, "accuracy_rows": 16,
        "bits": 7, "weight_bits": 8,
    }  # fmt: skip


def _result() -> dict[str, Any]:
    models = {
        name: {"ezkl": _side(8.0, 4000), "ezkl-hashed": _side(16.0, 8000), "proofmesh": _side(0.1, 100)}
        for name in FIVE
    }
    models[FIVE[0]]["ezkl"] = _side(2.0, 1000)
    return models


def test_ratios_are_of_warm_proofs_and_of_keys_over_the_five_networks() -> None:
    found = ratios(_result())
    assert len(FIVE) == 5
    assert found["least_prove_ratio"] == found["geomean_prove_ratio"] == 160.0
    assert found["geomean_key_ratio"] == 80.0
    assert found["bare_least_prove_ratio"] == 20.0
    assert found["bare_geomean_prove_ratio"] == pytest.approx((20 * 80**4) ** 0.2, abs=0.1)
    assert found["bare_geomean_key_ratio"] == pytest.approx((10 * 40**4) ** 0.2, abs=0.1)
    assert all(found["within_factor_2"].values())


def test_ratios_of_two_runs_or_of_what_did_not_finish_are_none() -> None:
    changes = ({"run": "b"}, {"status": "did not finish: prove beyond 20 GiB"})
    for change, side in itertools.product(changes, ("ezkl", "ezkl-hashed")):
        models = _result()
        models[FIVE[2]][side] |= change
        found = ratios(models)
        assert all(found[name] is None for name in NAMES)
        assert FIVE[2] in found["reason"]


def test_a_precision_beyond_a_factor_of_two_is_said() -> None:
    models = _result()
    models[FIVE[1]]["proofmesh"]["max_error"] = 0.3
    assert ratios(models)["within_factor_2"][FIVE[1]] is False


def test_warm_leaves_the_first_proof_out_and_cold_counts_what_is_loaded() -> None:
    side = _side(1.0, 1) | {"cold_compile_s": 2.0, "key_load_s": 0.5}
    assert warm_seconds(side) == 1.0
    assert cold_seconds(side) == 12.5


def test_the_page_shows_every_figure_and_every_failure() -> None:
    models = _result()
    models["forest-50x4"] = {
        "ezkl": {"status": "not supported: compile: synthesis error"}, "proofmesh": _side(0.1, 5)
    }  # fmt: skip
    result = {
        "machine": {"cores": 2}, "limits": {"ezkl_scale": 7, "memory_gib": 20}, "models": models,
        "ratios": ratios(models),
    }  # fmt: skip
    text = page(result)
    assert "| 20-16-1 | EZKL | 1,000 |" in text and "| 20-16-1 | EZKL, input hashed | 1,000 |" in text
    assert "| 2.0 s | 20x | 10x |" in text and "| 16.0 s | 160x | 80x |" in text
    assert "not supported: compile: synthesis error" in text
    assert "geometric mean" in text
    assert "EZKL, tuned |" not in text
    models[FIVE[0]]["ezkl-tuned"] = _side(0.4, 300) | {"remark": "on a busy machine."}
    assert "| 20-16-1 | EZKL, tuned | 1,000 |" in page(result)
    assert "20-16-1, EZKL, tuned: on a busy machine." in page(result)
