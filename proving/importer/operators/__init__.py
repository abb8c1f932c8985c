# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators that the importer knows, one module a family."""

from __future__ import annotations

from proving.importer.call import Rule
from proving.importer.operators import (
    activations,
    classical,
    constants,
    convolution,
    elementwise,
    linear,
    logic,
    normalisation,
    pooling,
    probability,
    quantised,
    reduction,
    shape,
    svm,
    trees,
)
from proving.importer.reader import ML

_ONNX = (activations, constants, convolution, elementwise, linear, logic, normalisation, pooling, probability,
         quantised, reduction, shape)
_ML = (classical, svm, trees)

RULES: dict[tuple[str, str], Rule] = {
    **{("", name): rule for module in _ONNX for name, rule in module.RULES.items()},
    **{(ML, name): rule for module in _ML for name, rule in module.RULES.items()},
}
"""By domain and operator."""
