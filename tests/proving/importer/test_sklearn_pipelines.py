# SPDX-License-Identifier: GPL-3.0-or-later
"""What skl2onnx exports is imported as it comes: outputs, and the head with its labels, agree with onnxruntime."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from proving_graph_eval import probabilities
from proving_models import LOW, sample_rows
from proving_onnx_models import agree, head_scores, runtime
from skl2onnx import to_onnx
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier

from proving.importer.graph import Linear, Link, Relu, Trees

CLASSIFIERS: dict[str, Any] = {
    "logistic": LogisticRegression(),
    "one against rest": SGDClassifier(loss="log_loss", random_state=0),
    "mlp": MLPClassifier((5, 3), max_iter=100, random_state=1),
    "tree": DecisionTreeClassifier(max_depth=4, random_state=0),
    "forest": RandomForestClassifier(7, max_depth=4, random_state=0),
    "extra trees": ExtraTreesClassifier(5, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=6, random_state=0),
}
REGRESSORS: dict[str, Any] = {
    "linear": LinearRegression(),
    "svm": SVR(kernel="linear"),
    "mlp": MLPRegressor(hidden_layer_sizes=(5,), max_iter=50, random_state=1),
    "forest": RandomForestRegressor(5, max_depth=3, random_state=0),
    "boosting": GradientBoostingRegressor(n_estimators=5, random_state=0),
}
ROWS = sample_rows()
HELD_OUT = sample_rows(12, seed=7)


def labels(classes: str) -> Any:
    """Class labels of the sample rows: `two`, `three`, `shifted` (10, 20, 25) or `texts`."""
    total = ROWS[:, 0] + ROWS[:, 1] - 2 * LOW
    if classes == "two":
        return (total > 130).astype(int)
    found = np.digitize(total, [100, 160])
    names = {"three": [0, 1, 2], "shifted": [10, 20, 25], "texts": ["a", "b", "c"]}[classes]
    return np.array(names)[found]


@lru_cache(maxsize=64)
def exported(name: str, classes: str, zipmap: bool) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(StandardScaler(), CLASSIFIERS[name]).fit(ROWS, labels(classes))
        return bytes(to_onnx(pipeline, ROWS[:1], options={"zipmap": zipmap}).SerializeToString())


@pytest.mark.parametrize("zipmap", [False, True])
@pytest.mark.parametrize("classes", ["two", "three", "shifted", "texts"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_agree_with_onnxruntime(name: str, classes: str, zipmap: bool) -> None:
    data = exported(name, classes, zipmap)
    for row in HELD_OUT:
        graph = agree(data, row[None])
        label, share = runtime(data, {"X": row[None]}).values()
        found = probabilities(graph.head, head_scores(graph, row))
        assert graph.head.labels[int(found.argmax())] == str(label[0])
        assert graph.head.link is Link.NONE or np.abs(found - share[0]).max() < 1e-5


@pytest.mark.parametrize("classes", ["two", "three"])
def test_linear_support_vector_machines_agree(classes: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(StandardScaler(), SVC(kernel="linear")).fit(ROWS, labels(classes))
        data = to_onnx(pipeline, ROWS[:1], options={"zipmap": False}).SerializeToString()
    for row in HELD_OUT:
        graph = agree(data, row[None], tolerance=1e-4)
        label = next(iter(runtime(data, {"X": row[None]}).values()))
        assert graph.head.labels[int(probabilities(graph.head, head_scores(graph, row)).argmax())] == str(label[0])


def test_probabilities_of_a_support_vector_machine_agree() -> None:
    """onnxruntime couples even one pair iteratively, to 0.0025; libsvm's pairwise probability is exact."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(StandardScaler(), SVC(kernel="linear", probability=True, random_state=0))
        data = to_onnx(pipeline.fit(ROWS, labels("two")), ROWS[:1], options={"zipmap": False}).SerializeToString()
    for row in HELD_OUT:
        assert agree(data, row[None], tolerance=4e-3).head.link is Link.SIGMOID


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_agree_with_onnxruntime(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(MinMaxScaler(), REGRESSORS[name]).fit(ROWS, ROWS[:, 0] * 2 + ROWS[:, 1])
        data = to_onnx(pipeline, ROWS[:1]).SerializeToString()
    for row in HELD_OUT:
        graph = agree(data, row[None])
        assert (graph.head.link, graph.head.labels) == (Link.NONE, ())
        assert np.allclose(head_scores(graph, row), graph_output(data, row), rtol=1e-5)


def graph_output(data: bytes, row: Any) -> Any:
    return next(iter(runtime(data, {"X": row[None]}).values())).reshape(-1)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_rows_are_normalised_in_front_of_a_model(norm: Any) -> None:
    pipeline = make_pipeline(Normalizer(norm), LogisticRegression()).fit(np.abs(ROWS) + 1, labels("three"))
    data = to_onnx(pipeline, ROWS[:1], options={"zipmap": False}).SerializeToString()
    for row in HELD_OUT:
        agree(data, np.abs(row[None]) + 1)


def test_a_binary_classifier_stops_at_one_logit_behind_one_layer() -> None:
    graph = agree(exported("logistic", "two", False), HELD_OUT[:1])
    layers = [each for each in graph.nodes if isinstance(each, Linear) and each.trained]
    assert len(layers) == 1 and graph.head.link is Link.SIGMOID and graph.head.labels == ("0", "1")
    assert head_scores(graph, HELD_OUT[0]).shape == (1,)


def test_scaler_and_biases_join_the_layers_of_an_mlp() -> None:
    graph = agree(exported("mlp", "three", True), HELD_OUT[:1])
    kinds = [type(each) for each in graph.nodes[1 : graph.head.scores + 1]]
    assert kinds == [Linear, Relu, Linear, Relu, Linear]
    first = graph.nodes[1]
    assert isinstance(first, Linear) and first.trained and first.tied is None and first.bias_tied is None


def test_trees_keep_the_float32_scaler_in_front_of_them() -> None:
    graph = agree(exported("forest", "two", False), HELD_OUT[:1])
    trees = next(each for each in graph.nodes if isinstance(each, Trees))
    assert trees.source == 0 and trees.scaler is not None and len(trees.trees) == 7
    assert all(np.float32(split.threshold) == split.threshold for tree in trees.trees for split in tree.splits)
