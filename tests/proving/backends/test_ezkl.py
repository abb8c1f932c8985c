# SPDX-License-Identifier: GPL-3.0-or-later
"""EZKL behind the seam: what it cannot say is refused, its cost is known before it starts, and one model is proved.

The proof needs EZKL in this Python, in the one that PROOFMESH_EZKL_PYTHON names, or in the benchmark's environment.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ezkl_model import BENCHMARK, model_bytes, weights

from protocol.errors import BackendError, BackendLimitError, ModelError, ProvingError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.backends import ezkl, limited_process
from proving.backends.base import Compiled, Format, ModelSource, Size
from proving.settings import (
    InputRange,
    ModelSettings,
    OutputSpec,
    Predicate,
    Reveal,
    Visibility,
    WeightMode,
    WeightSpec,
)
from proving.statement.commitment import Secrets

FIELD = InputRange("x", -128, 8, 4, scale=4)
SETTINGS = ModelSettings((FIELD,), OutputSpec(Reveal.PUBLIC), fractional_bits=7, weight_bits=7)
NO_SECRETS = Secrets(0, 0)


def test_without_ezkl_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ezkl.PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not ezkl.installed()
    with pytest.raises(BackendError, match=r"proofmesh\[ezkl\]"):
        ezkl.backend().compile(_source())
    assert "proofmesh[ezkl]" in ezkl.backend().appraise(_source()).reasons[0]


def test_a_python_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(ezkl.PYTHON_VARIABLE, str(tmp_path / "python"))
    with pytest.raises(BackendError, match="no program"):
        ezkl.backend().compile(_source())


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, output=OutputSpec(Reveal.SEALED)),
        replace(SETTINGS, output=OutputSpec(Reveal.PREDICATE, predicate=Predicate.THRESHOLD, threshold="0.5")),
        replace(SETTINGS, weights=WeightSpec(WeightMode.FOLDED)),
        replace(SETTINGS, inputs=(*SETTINGS.inputs, InputRange("y", 0, 8, visibility=Visibility.PUBLIC))),
    ],
)
def test_what_its_statements_cannot_say_is_refused_before_anything_runs(settings: ModelSettings) -> None:
    assert not ezkl.backend().appraise(_source(settings)).supported
    with pytest.raises(ModelError):
        ezkl.backend().compile(_source(settings))


@pytest.mark.parametrize(
    ("logrows", "key_mb", "memory_gb", "prove_s"),
    [(15, 138.5, 0.371, 3.6), (16, 277.0, 0.714, 7.5), (19, 2215.6, 5.28, 54)],
)
def test_the_estimate_is_what_the_benchmark_measured(
    logrows: int, key_mb: float, memory_gb: float, prove_s: float
) -> None:
    expected = ezkl.backend().estimate(Size(0, 1 << logrows, 10))
    assert expected.key_bytes / 1e6 == pytest.approx(key_mb, rel=0.01)
    assert expected.memory_bytes / 1e9 == pytest.approx(memory_gb, rel=0.1)
    assert expected.proving_ms / 1000 == pytest.approx(prove_s, rel=0.2)


def test_what_would_not_fit_is_refused_before_it_starts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limited_process, "run", lambda *_, **__: pytest.fail("EZKL was started"))
    compiled = Compiled("ezkl", bytes(32), Size(1 << 21, 1 << 22, 10), ezkl.EzklCircuit(SETTINGS, b"", b""))
    with pytest.raises(BackendLimitError, match="GiB"):
        ezkl.backend().setup(compiled, tmp_path)
    with pytest.raises(BackendLimitError, match="may take 60"):
        ezkl.Ezkl(memory_bytes=1 << 40, seconds=60).setup(compiled, tmp_path)


@pytest.mark.slow
def test_one_model_is_compiled_proved_and_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not ezkl.installed():
        if not BENCHMARK.is_file():
            pytest.skip("EZKL is not installed; `make test-ezkl` installs it")
        monkeypatch.setenv(ezkl.PYTHON_VARIABLE, str(BENCHMARK))
    backend = ezkl.backend()
    compiled = backend.compile(_source())
    keys = backend.setup(compiled, tmp_path)
    inputs = [16, -32, 48, 100]
    proved = backend.prove(compiled, keys, inputs, NO_SECRETS, 0)
    half = BN254_SCALAR_ORDER // 2
    outputs = [(each if each < half else each - BN254_SCALAR_ORDER) / 2**7 for each in proved.public_inputs]
    assert outputs == pytest.approx(_expected(inputs), abs=0.1)
    assert backend.verify(keys.verifying_key, proved.proof, proved.public_inputs)
    first, *others = proved.public_inputs
    assert not backend.verify(keys.verifying_key, proved.proof, (first + 1, *others))
    assert not backend.verify(keys.verifying_key, bytes(len(proved.proof)), proved.public_inputs)
    assert not backend.verify(b"{}", proved.proof, proved.public_inputs)
    with pytest.raises(ProvingError, match="bound"):
        backend.prove(compiled, keys, inputs, NO_SECRETS, 5)


def _source(settings: ModelSettings = SETTINGS) -> ModelSource:
    return ModelSource(Format.ONNX, "model.onnx", {"model.onnx": model_bytes()}, settings)


def _expected(inputs: list[int]) -> list[float]:
    first, second = weights()
    return [float(each) for each in np.maximum(np.array(inputs) / 16 @ first, 0) @ second]
