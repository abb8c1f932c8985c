# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights in files beside the model: taken from its folder, refused from anywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from proving_onnx_models import agree, model, tensor

from protocol.errors import MalformedModelError, ModelTooLargeError
from proving.importer import external
from proving.importer.external import read_model
from proving.importer.model import import_model

WEIGHTS = np.array([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]], dtype=np.float32)
ROW = np.array([[0.5, -1.5]], dtype=np.float32)


def network() -> Any:
    return model([helper.make_node("MatMul", ["X", "w"], ["out"])], tensors=[tensor("w", WEIGHTS)])


def split(folder: Path, location: str = "model.onnx.data", written: str | None = None, **entries: str) -> Path:
    """Write a model whose weights stand at `location`, eight bytes into the file."""
    made = network()
    weight = made.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "8", "length": "24", **entries}.items():
        weight.external_data.add(key=key, value=value)
    (folder / (location if written is None else written)).write_bytes(b"8 before" + WEIGHTS.tobytes() + b"after")
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def test_weights_beside_the_model_are_taken(tmp_path: Path) -> None:
    path = split(tmp_path)
    with pytest.raises(MalformedModelError):
        import_model(path.read_bytes())
    agree(read_model(path), ROW)
    assert read_model(path) == read_model(path)


def test_weights_in_a_folder_below_are_taken(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    agree(read_model(split(tmp_path, "parts/w.bin")), ROW)


def test_a_whole_model_comes_back_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(network().SerializeToString())
    assert read_model(path) == path.read_bytes()


def test_paths_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "model", tmp_path / "secret"
    inside.mkdir()
    outside.write_bytes(b"8 before" + WEIGHTS.tobytes())
    (inside / "link").symlink_to(outside)
    for location in ("../secret", str(outside), "link", "", ".", "missing", "nul\0"):
        path = split(inside, location, written="unused")
        with pytest.raises(MalformedModelError):
            read_model(path)


@pytest.mark.parametrize(("offset", "length"), [
    ("-1", "24"), ("0x8", "24"), ("8", "23"), ("8", "25"), ("30", "24"), ("9" * 18, "24"), ("9" * 40, "24"), ("8", "²"),
])
def test_places_that_do_not_fit_are_refused(tmp_path: Path, offset: str, length: str) -> None:
    with pytest.raises(MalformedModelError):
        read_model(split(tmp_path, offset=offset, length=length))


def test_model_and_weights_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = split(tmp_path)
    monkeypatch.setattr(external, "MAX_MODEL_BYTES", path.stat().st_size + 20)
    with pytest.raises(ModelTooLargeError):
        read_model(path)
    monkeypatch.setattr(external, "MAX_MODEL_BYTES", 10)
    with pytest.raises(ModelTooLargeError):
        read_model(path)


def test_noise_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\xff" * 50)
    with pytest.raises(MalformedModelError):
        read_model(path)
