# SPDX-License-Identifier: GPL-3.0-or-later
"""scikit-learn's ensembles through skl2onnx: the decisions of onnxruntime, at the cost that is promised."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import onnxruntime
import pytest
from proving_statements import Compiled, compiled
from skl2onnx import to_onnx
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from proving.constraints.determinism import undetermined
from proving.fixedpoint.float32_order import places
from proving.importer.model import import_model
from proving.settings import Encoding, InputRange, ModelSettings, OutputSpec, Predicate, Reveal
from proving.statement.opening import open_predicate

FEATURES, TRAINED, HELD_OUT = 20, 600, 60
FLOATS = (InputRange("x", 0, 32, FEATURES, encoding=Encoding.FLOAT32),)
FRACTION = 10
FIXED = (InputRange("x", -(1 << 15), 16, FEATURES, FRACTION),)
LABEL = OutputSpec(Reveal.PUBLIC, target="label")
POSITIVE = OutputSpec(Reveal.PREDICATE, predicate=Predicate.CLASS, label="1")
PROMISED = 2_500


def estimator(kind: str) -> object:
    match kind:
        case "boosting":
            return GradientBoostingClassifier(n_estimators=50, max_depth=4, random_state=0)
        case "scaled":
            return make_pipeline(StandardScaler(), RandomForestClassifier(10, max_depth=4, random_state=0))
        case "three classes":
            return RandomForestClassifier(10, max_depth=4, random_state=0)
    return RandomForestClassifier(50, max_depth=4, random_state=0)


@cache
def trained(kind: str) -> tuple[bytes, np.ndarray, np.ndarray]:
    """The model, held-out rows on the grid of FIXED (so float32 and fixed inputs are the same numbers), its labels."""
    classes = 3 if kind == "three classes" else 2
    rows, labels = make_classification(
        TRAINED + HELD_OUT, FEATURES, n_informative=12, n_classes=classes, random_state=1
    )
    rows = (np.round(rows * 2**FRACTION) / 2**FRACTION).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = estimator(kind).fit(rows[:TRAINED], labels[:TRAINED])  # type: ignore[attr-defined]
        data = to_onnx(model, rows[:1], options={"zipmap": False}).SerializeToString()
    session = onnxruntime.InferenceSession(data)
    return data, rows[TRAINED:], session.run(["label"], {"X": rows[TRAINED:]})[0]


@cache
def circuit(kind: str, fixed: bool, spec: OutputSpec) -> Compiled:
    return compiled(import_model(trained(kind)[0]), ModelSettings(FIXED if fixed else FLOATS, spec, fractional_bits=12))


def raw_of(row: np.ndarray, fixed: bool) -> list[int]:
    raw = (row.astype(np.float64) * 2**FRACTION).astype(np.int64) if fixed else places(row)
    return [int(each) for each in raw]


@pytest.mark.parametrize("kind", ["forest", "boosting", "scaled", "three classes"])
@pytest.mark.parametrize("fixed", [False, True])
def test_every_decision_on_held_out_rows_is_onnxruntime_s(kind: str, fixed: bool) -> None:
    _, rows, labels = trained(kind)
    model = circuit(kind, fixed, LABEL)
    assert [model.revealed(raw_of(row, fixed))[0] for row in rows] == labels.tolist()


@pytest.mark.parametrize("kind", ["forest", "boosting"])
def test_fifty_trees_on_twenty_features_cost_what_is_promised(kind: str) -> None:
    # Compared as float32, the model itself; on inputs of 16 bits, the whole statement with it.
    exact = circuit(kind, False, POSITIVE).circuit
    assert sum(count for label, count in exact.costs if label != "statement") <= PROMISED
    assert circuit(kind, True, POSITIVE).circuit.system.constraints <= PROMISED


@pytest.mark.parametrize("kind", ["forest", "boosting"])
def test_the_circuit_says_what_the_forest_says(kind: str) -> None:
    _, rows, labels = trained(kind)
    model = circuit(kind, False, POSITIVE)
    for row, label in zip(rows[:4], labels, strict=False):
        assert open_predicate(model.statement(raw_of(row, False))) == bool(label)


def test_the_decision_follows_from_the_inputs() -> None:
    made = circuit("boosting", False, POSITIVE).circuit
    assert undetermined(made.system, made.free, range(1, 1 + made.system.public)) == ()
