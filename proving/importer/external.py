# SPDX-License-Identifier: GPL-3.0-or-later
"""A model file with its weights in files beside it (torch's newer exporter writes such), as one self-contained file.

Weights may lie in the model's own folder and below, nowhere else: a path that leads out of it, by `..`, by an
absolute path or by a link, is refused. Specification: ONNX, ExternalData.md.
"""

from __future__ import annotations

import math
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from protocol.errors import MalformedModelError, ModelTooLargeError
from proving.importer.limits import MAX_MODEL_BYTES
from proving.importer.reader import element_bytes
from proving.importer.wire import check_fields


def read_model(path: Path) -> bytes:
    """Return the bytes of a model file with all its weights inside, as `import_model` takes them.

    A file that has them inside already is returned as it is.

    Raises:
        MalformedModelError: it is no model, or its weights are missing, cut off, or outside its folder.
        ModelTooLargeError: model and weights together are larger than a model may be.
        OSError: the model file itself cannot be read.
    """
    if path.stat().st_size > MAX_MODEL_BYTES:
        raise ModelTooLargeError(f"The model has more than {MAX_MODEL_BYTES} bytes.")
    data = path.read_bytes()
    check_fields(data, ModelProto.DESCRIPTOR)
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError):
        raise MalformedModelError("The file is not an ONNX model: it cannot be parsed.") from None
    tensors = [each for each in model.graph.initializer if each.data_location == TensorProto.EXTERNAL]
    if not tensors:
        return data
    total = len(data)
    for tensor in tensors:
        total += _inline(tensor, path.parent, MAX_MODEL_BYTES - total)
    return bytes(model.SerializeToString(deterministic=True))


def _inline(tensor: TensorProto, folder: Path, room: int) -> int:
    """Put a tensor's bytes into it; return how many."""
    entries = {each.key: each.value for each in tensor.external_data}
    source = _within(folder, entries.get("location", ""), tensor.name)
    size = source.stat().st_size
    offset = _count(entries.get("offset", "0"), tensor.name)
    length = _count(entries.get("length", str(max(0, size - offset))), tensor.name)
    if offset + length > size:
        raise MalformedModelError(f"The file with tensor {tensor.name!r:.80} is cut off.")
    if length != math.prod(tensor.dims) * element_bytes(tensor.data_type):
        raise MalformedModelError(f"Tensor {tensor.name!r:.80} has another size than its file says.")
    if length > room:
        raise ModelTooLargeError(f"Model and weights have more than {MAX_MODEL_BYTES} bytes together.")
    with source.open("rb") as file:
        file.seek(offset)
        tensor.raw_data = file.read(length)
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
    return length


def _within(folder: Path, location: str, name: str) -> Path:
    """Return the file of a tensor, links followed; it must be a plain file in the model's folder."""
    root = folder.resolve()
    refusal = MalformedModelError(f"Tensor {name!r:.80} lies outside the model's folder, or in no plain file.")
    try:
        found = (root / location).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        raise MalformedModelError(f"The file with tensor {name!r:.80} cannot be found.") from None
    if not location or Path(location).is_absolute() or root not in found.parents or not found.is_file():
        raise refusal
    return found


def _count(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise MalformedModelError(f"Tensor {name!r:.80} has an offset or length that is no number.")
    return int(text)
