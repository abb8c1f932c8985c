# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms of operators that ONNX's own node tests do not have, against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from proving_graph_eval import outputs
from proving_onnx_models import ML, agree, head_scores, imported, model, tensor

from protocol.errors import UnsupportedOperatorError
from proving.importer.graph import Apply, Divide, Function, Linear, Link, Select
from proving.importer.model import import_model

RANDOM = np.random.RandomState(5)
ROWS = RANDOM.randn(6, 4).astype(np.float32)


def chain(*steps: tuple[Any, ...], shape: Any = (None, 4), tensors: Any = (), results: Any = ("out",),
          opset: int = 17, ml: int = 3, kind: int = TensorProto.FLOAT) -> bytes:
    """A model of nodes (operator, inputs, outputs, attributes)."""
    nodes = []
    for operator, inputs, found, attributes in steps:
        domain, name = (ML, operator[3:]) if operator.startswith("ml.") else ("", operator)
        nodes.append(helper.make_node(name, inputs.split(), found.split(), domain=domain, **attributes))
    made = model(nodes, shape, tensors, results=results, opset=opset, ml=ml, kind=kind)
    return bytes(made.SerializeToString())


LABELS = {"classlabels_ints": [3, 5]}
SCORES = {"coefficients": [0.5, -1.0, 0.25, 2.0], "intercepts": [0.125]}

FORMS: dict[str, bytes] = {
    "scaler": chain(("ml.Scaler", "X", "out", {"offset": [1.0, 2.0, 3.0, 4.0], "scale": [0.5, 1.0, 2.0, 4.0]})),
    "scaler with one number": chain(("ml.Scaler", "X", "out", {"offset": [1.5], "scale": [0.5]})),
    "normalizer max of positive rows": chain(("Abs", "X", "a", {}), ("ml.Normalizer", "a", "out", {"norm": "MAX"})),
    "imputer": chain(("Round", "X", "a", {}),
                     ("ml.Imputer", "a", "out", {"imputed_value_floats": [7.0], "replaced_value_float": 0.0})),
    "imputer of each column": chain(
        ("Round", "X", "a", {}),
        ("ml.Imputer", "a", "out", {"imputed_value_floats": [7.0, 8.0, 9.0, 10.0], "replaced_value_float": 1.0})
    ),
    "binarizer": chain(("ml.Binarizer", "X", "out", {"threshold": 0.25})),
    "columns side by side": chain(
        ("ml.ArrayFeatureExtractor", "X i", "a", {}),
        ("ml.FeatureVectorizer", "a X", "out", {"inputdimensions": [2, 4]}),
        tensors=[tensor("i", [3, 1], np.int64)],
    ),
    "regressor of two targets": chain(
        ("ml.LinearRegressor", "X", "out",
         {"coefficients": [0.5, -1.0, 0.25, 2.0] * 2, "intercepts": [1.0, 2.0], "targets": 2})
    ),
    "one score, plain": chain(("ml.LinearClassifier", "X", "label out", {**SCORES, **LABELS}),
                              results=("label",)),
    "three scores, logistic": chain(
        ("ml.LinearClassifier", "X", "label out",
         {"coefficients": [0.25 * each for each in range(12)], "intercepts": [1.0, 0.5, 0.0],
          "classlabels_ints": [0, 1, 2], "post_transform": "LOGISTIC"}),
        results=("label", "out"),
    ),
    "one hot": chain(("ml.OneHotEncoder", "X", "out", {"cats_int64s": [3, 5, 9], "zeros": 1}), shape=(1, 3),
                     kind=TensorProto.INT64),
    "labels of integers": chain(
        ("ml.LabelEncoder", "X", "out", {"keys_int64s": [3, 5, 9], "values_int64s": [1, 10, 100], "default_int64": -7}),
        shape=(1, 3), kind=TensorProto.INT64,
    ),
    "labels of integers to floats": chain(
        ("ml.LabelEncoder", "X", "out", {"keys_int64s": [3, 5], "values_floats": [0.5, 1.5], "default_float": 2.0}),
        shape=(1, 3), kind=TensorProto.INT64,
    ),
    "a gemm of two variables": chain(
        ("Split", "X", "a b", {"axis": 1}), ("Gemm", "a b a", "out", {"transB": 1, "alpha": 0.5, "beta": 2.0}),
        shape=(2, 4),
    ),
    "a product with vectors": chain(("Squeeze", "X", "a", {}), ("MatMul", "w a", "out", {}), shape=(1, 4),
                                    tensors=[tensor("w", RANDOM.randn(3, 4))]),
    "a batched product": chain(("MatMul", "X w", "out", {}), shape=(2, 3, 4),
                               tensors=[tensor("w", RANDOM.randn(2, 4, 5))]),
    "a leaky relu with one slope a channel": chain(
        ("PRelu", "X s", "out", {}), tensors=[tensor("s", [0.1, 0.2, 0.3, 1.5])]
    ),
    "clip from below": chain(("Clip", "X low", "out", {}), tensors=[tensor("low", 0.25)]),
    "clip by attributes": chain(("Clip", "X", "out", {"min": -0.5, "max": 0.5}), opset=7),
    "softmax on a flattened matrix": chain(("Softmax", "X", "out", {"axis": 1}), shape=(2, 2, 3), opset=11),
    "slice by attributes": chain(("Slice", "X", "out", {"axes": [1], "starts": [1], "ends": [3]}), opset=9),
    "pad by attributes": chain(("Pad", "X", "out", {"pads": [0, 1, 0, 2], "value": 1.5}), opset=10),
    "unsqueeze by attributes": chain(("Unsqueeze", "X", "a", {"axes": [1]}), ("Squeeze", "a", "out", {"axes": [1]}),
                                     opset=11),
    "sum with a known axis operand": chain(("ReduceSum", "X n", "out", {"keepdims": 0}),
                                           tensors=[tensor("n", [1], np.int64)]),
    "shape arithmetic": chain(
        ("Shape", "X", "s", {}), ("Gather", "s one", "n", {}), ("Unsqueeze", "n zeros", "m", {}),
        ("Concat", "m minus", "shape", {"axis": 0}), ("Reshape", "X shape", "out", {}), shape=(2, 4),
        tensors=[tensor("one", 1, np.int64), tensor("zeros", [0], np.int64), tensor("minus", [-1], np.int64)],
    ),
    "a table read at an arg max": chain(
        ("ArgMax", "X", "a", {"axis": 1, "keepdims": 0}), ("Gather", "t a", "out", {}),
        tensors=[tensor("t", RANDOM.randn(4, 3))],
    ),
    "where with a known mask over infinity": chain(
        ("Where", "m X lowest", "a", {}), ("ReduceMax", "a", "out", {"axes": [1]}),
        tensors=[tensor("m", [True, False, True, True], np.bool_), tensor("lowest", [1.0, 2.0, 3.0, -9.0])],
    ),
    "a power of each kind": chain(
        ("Abs", "X", "a", {}), ("Add", "a c", "b", {}), ("Pow", "b p", "out", {}),
        tensors=[tensor("c", 0.5), tensor("p", [2.0, -1.0, 0.5, 1.7])],
    ),
    "tied weights over positions": chain(("MatMul", "X w", "a", {}), ("Add", "a b", "out", {}), shape=(1, 3, 4),
                                         tensors=[tensor("w", RANDOM.randn(4, 2)), tensor("b", [1.0, 2.0])]),
    "a transposed convolution of groups": chain(
        ("ConvTranspose", "X w b", "out", {"group": 2, "strides": [2, 1], "pads": [1, 0, 0, 1], "dilations": [1, 2],
                                           "output_padding": [1, 0]}),
        shape=(1, 4, 3, 5), tensors=[tensor("w", RANDOM.randn(4, 3, 2, 3)), tensor("b", RANDOM.randn(6))],
    ),
    "a grouped convolution with same padding": chain(
        ("Conv", "X w b", "out", {"group": 2, "auto_pad": "SAME_LOWER", "strides": [2, 1]}),
        shape=(2, 4, 5, 6), tensors=[tensor("w", RANDOM.randn(6, 2, 3, 2)), tensor("b", RANDOM.randn(6))],
    ),
    "convolution over a reflected pad": chain(
        ("Pad", "X p", "a", {"mode": "reflect"}), ("Conv", "a w", "out", {}), shape=(1, 1, 4, 4),
        tensors=[tensor("p", [0, 0, 1, 1, 0, 0, 1, 1], np.int64), tensor("w", RANDOM.randn(2, 1, 3, 3))],
    ),
    "quantised and back": chain(
        ("QuantizeLinear", "X s z", "q", {}), ("DequantizeLinear", "q s z", "a", {}),
        ("DequantizeLinear", "wq ws wz", "w", {"axis": 1}), ("MatMul", "a w", "b", {}),
        ("QuantizeLinear", "b s z", "c", {}), ("DequantizeLinear", "c s z", "out", {}),
        tensors=[tensor("s", 0.05), tensor("z", 100, np.uint8), tensor("ws", [0.02, 0.01]),
                 tensor("wq", RANDOM.randint(-128, 127, (4, 2)), np.int8), tensor("wz", [0, 3], np.int8)],
    ),
    "an instance normalisation": chain(("InstanceNormalization", "X s b", "out", {}), shape=(1, 2, 3, 2),
                                       tensors=[tensor("s", [1.5, 0.5]), tensor("b", [0.1, -0.2])]),
    "a batch normalisation over an expanded input": chain(
        ("Expand", "X n", "a", {}), ("BatchNormalization", "a s b m v", "out", {}), shape=(1, 2, 1),
        tensors=[tensor("n", [1, 2, 3], np.int64), tensor("s", [1.5, 0.5]), tensor("b", [0.1, -0.2]),
                 tensor("m", [0.3, 0.4]), tensor("v", [1.3, 0.4])],
    ),
    "mish": chain(("Mish", "X", "out", {}), opset=18),
    "shrink, sinh and a swish spelt out": chain(
        ("Shrink", "X", "a", {"lambd": 0.5, "bias": 0.25}), ("Sinh", "a", "b", {}), ("Sigmoid", "b", "c", {}),
        ("Mul", "b c", "out", {}),
    ),
    "layer normalisation over two axes": chain(
        ("LayerNormalization", "X s b", "out", {"axis": 1}), shape=(1, 2, 3),
        tensors=[tensor("s", np.ones((2, 3)) * 2), tensor("b", np.ones((2, 3)))],
    ),
    "truth values": chain(
        ("Greater", "X c", "p", {}), ("Less", "X d", "q", {}), ("And", "p q", "r", {}), ("Xor", "r p", "s", {}),
        ("Not", "s", "t", {}), ("Cast", "t", "out", {"to": 1}), tensors=[tensor("c", -0.5), tensor("d", 0.5)],
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_agrees_with_onnxruntime(name: str) -> None:
    data = FORMS[name]
    shape = imported(data).input_shapes[0]
    for seed in range(4):
        random = np.random.RandomState(seed)
        whole = "labels" in name or name == "one hot"
        row = random.randint(0, 10, shape).astype(np.int64) if whole else random.randn(*shape).astype(np.float32)
        agree(data, row)


MODES = {"BRANCH_LEQ": 0, "BRANCH_LT": 1, "BRANCH_GTE": 2, "BRANCH_GT": 3, "BRANCH_EQ": 4, "BRANCH_NEQ": 5}


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_trees_branch_as_onnxruntime_does_at_the_threshold_itself(mode: str, average: bool) -> None:
    tables = {
        "nodes_treeids": [0] * 3 + [1] * 3, "nodes_nodeids": [0, 1, 2] * 2, "nodes_featureids": [0, 0, 0, 1, 0, 0],
        "nodes_values": [0.1, 0.0, 0.0, -0.5, 0.0, 0.0], "nodes_modes": [mode, "LEAF", "LEAF"] * 2,
        "nodes_truenodeids": [1, 0, 0] * 2, "nodes_falsenodeids": [2, 0, 0] * 2, "target_treeids": [0, 0, 0, 0, 1, 1],
        "target_nodeids": [1, 1, 2, 2, 1, 2], "target_ids": [0, 1, 0, 1, 0, 1],
        "target_weights": [1.0, 7.0, 2.0, 5.0, 3.0, 4.0],
        "n_targets": 2, "base_values": [0.5, 0.25], "aggregate_function": "AVERAGE" if average else "SUM",
    }
    data = chain(("ml.TreeEnsembleRegressor", "X", "out", tables), shape=(1, 2))
    near = np.float32(0.1)
    for value in (near, np.nextafter(near, np.float32(1)), np.nextafter(near, np.float32(-1)), -0.5, 3.0):
        agree(data, np.array([[value, value]], dtype=np.float32))


@pytest.mark.parametrize("mode", MODES)
def test_trees_of_ml_5_are_the_same(mode: str) -> None:
    table = {
        "nodes_splits": tensor("s", [0.1, -0.5]), "nodes_modes": tensor("m", [MODES[mode]] * 2, np.uint8),
        "nodes_featureids": [0, 1], "nodes_truenodeids": [0, 1], "nodes_trueleafs": [1, 1],
        "nodes_falsenodeids": [1, 2], "nodes_falseleafs": [0, 1], "tree_roots": [0], "n_targets": 2,
        "leaf_targetids": [0, 1, 0], "leaf_weights": tensor("w", [1.0, 2.0, 4.0]), "aggregate_function": 1,
    }
    data = chain(("ml.TreeEnsemble", "X", "out", table), shape=(1, 2), ml=5)
    for row in ([0.1, -0.5], [0.3, -0.5], [0.0, -0.6], [0.3, 2.0]):
        agree(data, np.array([row], dtype=np.float32))


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC"])
@pytest.mark.parametrize("weights", [[0.25, 0.75], [-1.5, 2.0]])
def test_binary_trees_with_one_score_agree(transform: str, weights: list[float]) -> None:
    tables = {
        "nodes_treeids": [0] * 3, "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0], "class_treeids": [0, 0],
        "class_nodeids": [1, 2], "class_ids": [0, 0], "class_weights": weights, "classlabels_int64s": [4, 9],
        "post_transform": transform,
    }
    data = chain(("ml.TreeEnsembleClassifier", "X", "label out", tables), shape=(1, 2), results=("label", "out"))
    for value in (0.0, 1.0):
        graph = agree(data, np.array([[value, 0.0]], dtype=np.float32))
        assert graph.head.labels == ("4", "9")


def test_thresholds_of_doubles_split_float32_numbers_as_before() -> None:
    threshold = 0.1  # float32's nearest is above it
    tables = {
        "nodes_treeids": [0] * 3, "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
        "nodes_values_as_tensor": tensor("v", [threshold, 0.0, 0.0], np.float64),
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0],
        "target_weights_as_tensor": tensor("w", [1.0, 2.0], np.float64), "n_targets": 1,
    }
    data = chain(("ml.TreeEnsembleRegressor", "X", "out", tables), shape=(1, 1), kind=TensorProto.DOUBLE)
    for value in (np.float32(threshold), np.nextafter(np.float32(threshold), np.float32(0))):
        agree(data, np.array([[float(value)]]))


def test_several_inputs_are_concatenated_in_their_order() -> None:
    made = model([helper.make_node("Sub", ["X", "Z"], ["a"]), helper.make_node("Mul", ["a", "a"], ["b"]),
                  helper.make_node("ReduceSum", ["b"], ["out"], keepdims=0)], (None, 3))
    made.graph.input.append(helper.make_tensor_value_info("Z", TensorProto.FLOAT, ["batch", 3]))
    first, second = np.ones((1, 3), dtype=np.float32), np.array([[3, 5, 7]], dtype=np.float32)
    graph = agree(made.SerializeToString(), first, second, names=("X", "Z"))
    assert graph.input_names == ("X", "Z") and graph.input_shapes == ((1, 3), (1, 3))
    assert head_scores(graph, np.concatenate([first, second])) == [4 + 16 + 36]


def test_opposite_logits_and_two_way_softmax_are_one_logit() -> None:
    data = chain(("Gemm", "X w", "a", {}), ("Softmax", "a", "out", {"axis": 1}),
                 tensors=[tensor("w", RANDOM.randn(4, 2))])
    graph = agree(data, ROWS[:1])
    assert graph.head.link is Link.SIGMOID and graph.head.labels == ("0", "1")
    share = outputs(graph, ROWS[:1])["out"][0]
    assert np.isclose(1 / (1 + np.exp(-head_scores(graph, ROWS[:1])[0])), share[1])


def test_what_the_head_does_not_need_stays_behind_it() -> None:
    graph = imported(chain(("Gemm", "X w", "a", {}), ("Softmax", "a", "out", {"axis": 1}),
                           tensors=[tensor("w", RANDOM.randn(4, 3))]))
    before = graph.nodes[: graph.head.scores + 1]
    assert not any(isinstance(each, Apply | Divide | Select) for each in before)


def test_smooth_functions_of_constants_are_left_to_the_compiler() -> None:
    """libm differs between machines, so nothing here may fold them."""
    data = chain(("Exp", "c", "e", {}), ("Add", "X e", "out", {}), tensors=[tensor("c", [0.5, 1.0, 1.5, 2.0])])
    graph = agree(data, ROWS[:1])
    assert any(isinstance(each, Apply) and each.function is Function.EXP for each in graph.nodes)


def test_a_learnt_vector_is_no_public_constant() -> None:
    data = chain(("Where", "m w X", "out", {}), tensors=[tensor("m", [True, False, True, False], np.bool_),
                                                       tensor("w", [1.0, 2.0, 3.0, 4.0])])
    assert any(isinstance(each, Linear) and each.trained for each in imported(data).nodes)


def test_training_mode_is_refused() -> None:
    data = chain(("Dropout", "X r t", "out", {}), tensors=[tensor("r", 0.5), tensor("t", True, np.bool_)])
    with pytest.raises(UnsupportedOperatorError):
        import_model(data)
