# SPDX-License-Identifier: GPL-3.0-or-later
"""Models of scikit-learn, trained the same on every run, as ONNX files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from examples.models.data import SEED, Data

_MODELS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=SEED)),
    "mlp": lambda: make_pipeline(StandardScaler(), MLPClassifier((16,), alpha=0.5, max_iter=1500, random_state=SEED)),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=40, max_depth=3, random_state=SEED),
    "forest": lambda: RandomForestClassifier(n_estimators=30, max_depth=4, random_state=SEED),
    "tree": lambda: DecisionTreeClassifier(max_depth=5, random_state=SEED),
}


def train(kind: str, data: Data) -> bytes:
    """Return a model of a kind, fitted on the rows for it, as an ONNX file."""
    model = _MODELS[kind]().fit(data.reals(data.fit), data.labels[data.fit])
    sample = np.zeros((1, data.rows.shape[1]), dtype=np.float32)
    # A fixed name: skl2onnx otherwise draws one, and the file's hash would differ from run to run.
    exported = to_onnx(model, sample, options={"zipmap": False}, name=kind)
    return bytes(exported.SerializeToString(deterministic=True))
