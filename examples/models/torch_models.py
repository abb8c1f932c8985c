# SPDX-License-Identifier: GPL-3.0-or-later
"""Models of PyTorch for the runner: makes their environment, trains them there, and reads what came out of it."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from examples.models.data import Data
from proving.settings import InputRange

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / "build" / "models-venv"
FOLDER = ROOT / "build" / "models"
PACKAGES = ("torch==2.13.0", "scikit-image==0.26.0", "scikit-learn==1.9.1", "onnx==1.23.2")


def train_all(names: Sequence[str]) -> None:
    """Train the named models in the environment with PyTorch, which is made if it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    done = ENVIRONMENT / "installed"
    if not done.is_file() or done.read_text() != "\n".join(PACKAGES):
        venv.create(ENVIRONMENT, with_pip=True, symlinks=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        done.write_text("\n".join(PACKAGES))
    command = [str(python), "-m", "examples.models.torch_train", str(FOLDER), *names]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)


def read(name: str) -> tuple[bytes, Data]:
    """Return a trained model as an ONNX file, and its data."""
    with np.load(FOLDER / f"{name}.npz") as found:
        rows, scale = found["rows"], int(found["scale"])
        names = [str(each) for each in found["fields"]]
        bits, count = max(1, int(rows.max()).bit_length()), rows.shape[1] // len(names)
        # The second picture of a pair was enrolled earlier: it is in a commitment of its own.
        fields = tuple(InputRange(name, 0, bits, count, scale, group=group) for group, name in enumerate(names))
        data = Data(fields, rows, found["labels"], found["fit"], found["held_out"])
    return (FOLDER / f"{name}.onnx").read_bytes(), data
