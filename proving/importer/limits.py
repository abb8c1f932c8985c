# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model file may ask for; all limits are checked before memory is spent."""

from __future__ import annotations

MAX_MODEL_BYTES = 64 << 20
MAX_NODES = 1 << 13
MAX_INITIALIZERS = 1 << 13
MAX_WEIGHTS = 1 << 23
"""Numbers in all constants of the file together."""
MAX_RANK = 8
MAX_DIMENSION = 1 << 24
MAX_INPUT_VALUES = 1 << 18
"""Values of all inputs together: far more than a statement can have (settings.MAX_INPUTS)."""
MAX_ELEMENTS = 1 << 23
"""Values in all nodes of the graph together, and in any one tensor."""
MAX_MOVED = 1 << 27
"""Values in the results of all ONNX nodes together, moves (which make no node of the graph) included."""
MAX_ENTRIES = 1 << 24
"""Multiply-adds in all affine maps together."""
MAX_MAGNITUDE = 2.0**64
MIN_IR, MIN_OPSET, MIN_ML_OPSET = 3, 7, 1
MAX_SPLITS = 1 << 18
"""Inner nodes of all decision trees together."""
