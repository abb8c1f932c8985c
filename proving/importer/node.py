# SPDX-License-Identifier: GPL-3.0-or-later
"""An ONNX node with attributes of the types that its operator expects."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from onnx import AttributeProto, NodeProto, TensorProto

from protocol.errors import MalformedModelError, UnsupportedOperatorError


class Node:
    """Wraps a NodeProto; `domain` is normalised, `version` is that of the operator set it comes from."""

    def __init__(self, proto: NodeProto, domain: str, versions: Mapping[str, int]) -> None:
        self._proto = proto
        self.domain = domain
        self.operator = proto.op_type
        self.version = versions.get(domain, 0)
        self.inputs: tuple[str, ...] = tuple(proto.input)
        self.outputs: tuple[str, ...] = tuple(proto.output)

    @property
    def name(self) -> str:
        """The node's name, or its first output's."""
        return self._proto.name or next(filter(None, self.outputs), "")

    @property
    def title(self) -> str:
        """How messages name the node."""
        domain = f"{self.domain}." if self.domain else ""
        return f"Node {self.name!r:.80} ({domain:.40}{self.operator:.40})"

    def unsupported(self, reason: str) -> UnsupportedOperatorError:
        """Return the refusal of this node for a reason such as "needs a constant kernel"."""
        return UnsupportedOperatorError(f"{self.title} {reason}.")

    def malformed(self, reason: str) -> MalformedModelError:
        """Return the refusal of a node that contradicts its operator's definition."""
        return MalformedModelError(f"{self.title} {reason}.")

    @cached_property
    def _attributes(self) -> dict[str, AttributeProto]:
        return {each.name: each for each in self._proto.attribute}

    def has(self, name: str) -> bool:
        return name in self._attributes

    def _get(self, name: str, kind: Any) -> AttributeProto | None:
        found = self._attributes.get(name)
        if found is not None and found.type != kind:
            raise self.malformed(f"has an attribute {name} of a wrong type")
        return found

    def integer(self, name: str, default: int = 0) -> int:
        found = self._get(name, AttributeProto.INT)
        return default if found is None else int(found.i)

    def integers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        found = self._get(name, AttributeProto.INTS)
        return default if found is None else tuple(found.ints)

    def number(self, name: str, default: float = 0.0) -> float:
        found = self._get(name, AttributeProto.FLOAT)
        return default if found is None else float(found.f)

    def numbers(self, name: str) -> tuple[float, ...]:
        found = self._get(name, AttributeProto.FLOATS)
        return () if found is None else tuple(found.floats)

    def text(self, name: str, default: str = "") -> str:
        found = self._get(name, AttributeProto.STRING)
        return default if found is None else found.s.decode("utf-8", "replace")

    def texts(self, name: str) -> tuple[str, ...]:
        found = self._get(name, AttributeProto.STRINGS)
        return () if found is None else tuple(each.decode("utf-8", "replace") for each in found.strings)

    def tensor(self, name: str) -> TensorProto | None:
        found = self._get(name, AttributeProto.TENSOR)
        return None if found is None else found.t
