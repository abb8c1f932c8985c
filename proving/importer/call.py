# SPDX-License-Identifier: GPL-3.0-or-later
"""One use of an operator: its node, its operands, and the graph that it adds to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proving.importer.builder import Builder
from proving.importer.node import Node
from proving.importer.values import INTEGERS, Fixed, Value, Variable


@dataclass(frozen=True, slots=True)
class Call:
    """`operands` are aligned with the node's inputs; None where an optional one is left out."""

    node: Node
    builder: Builder
    operands: tuple[Value | None, ...]

    def optional(self, index: int) -> Value | None:
        return self.operands[index] if index < len(self.operands) else None

    def value(self, index: int = 0) -> Value:
        """Return an operand that the operator needs."""
        found = self.optional(index)
        if found is None:
            raise self.node.malformed(f"lacks its operand {index}")
        return found

    def variable(self, index: int = 0) -> Variable:
        """Return an operand as elements; known numbers become a node."""
        return self.builder.variable(self.value(index))

    def fixed(self, index: int) -> Fixed | None:
        """Return an optional operand that must be known, or None if it is left out."""
        found = self.optional(index)
        if isinstance(found, Variable):
            raise self.node.unsupported(f"needs a constant as its operand {index}")
        return found

    def constant(self, index: int) -> Fixed:
        """Return an operand that must be there and known."""
        found = self.fixed(index)
        if found is None:
            raise self.node.malformed(f"lacks its operand {index}")
        return found

    def integers(self, index: int) -> tuple[int, ...] | None:
        """Return a known integer operand, flattened, or None if it is left out."""
        found = self.fixed(index)
        if found is None:
            return None
        if found.type not in INTEGERS:
            raise self.node.malformed(f"needs integers as its operand {index}")
        return tuple(int(each) for each in found.values.reshape(-1))

    def axis(self, axis: int, rank: int) -> int:
        """Return an axis counted from the front."""
        if not -rank <= axis < rank:
            raise self.node.malformed(f"has an axis {axis} that a tensor of rank {rank} lacks")
        return axis % rank

    def axes(self, axes: tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
        """Return axes counted from the front, rising; all of them for None."""
        if axes is None:
            return tuple(range(rank))
        found = sorted(self.axis(each, rank) for each in axes)
        if len(set(found)) != len(found):
            raise self.node.malformed("names an axis twice")
        return tuple(found)


Result = Value | tuple[Value, ...]
Rule = Callable[[Call], Result]
Rules = dict[str, Rule]
"""The operators of one domain that a module knows."""
