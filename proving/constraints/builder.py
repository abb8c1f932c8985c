# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds a constraint system out of whole vectors: wires, forms (proving/constraints/forms.py), blocks of rows.

Rows stand in the order in which they were added, each with the layer (`label`) and the kind of constraint it
belongs to. How a wire gets its value is a `Step` (proving/constraints/witness.py), appended to `steps` by whoever
allocates the wire, in the order in which they run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proving.constraints import forms
from proving.constraints.forms import Form
from proving.constraints.system import ConstraintSystem
from proving.constraints.witness import Step
from proving.sparse import Array, Sparse


@dataclass(frozen=True, slots=True)
class Block:
    """Rows `first` to `first + count - 1`, which are of one kind and belong to one layer."""

    label: str
    kind: str
    first: int
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class Bits:
    """Boolean wires of a vector: element i has `widths[i]` of them from wire `first[i]`, lowest bit first.

    Together they are the wires from `first[0]` on, without a gap.
    """

    first: Array
    widths: Array

    @property
    def wires(self) -> Array:
        """All of the wires, in order."""
        start = int(self.first[0]) if len(self.first) else 0
        return np.arange(start, start + int(self.widths.sum()), dtype=np.int64)

    def value(self, low: Array | int = 0, high: Array | int | None = None) -> Form:
        """Return per element the number that bits `low` to `high - 1` make (all from `low` on by default)."""
        start = np.minimum(np.broadcast_to(low, self.widths.shape), self.widths)
        end = self.widths if high is None else np.minimum(np.broadcast_to(high, self.widths.shape), self.widths)
        lengths = np.maximum(end - start, 0).astype(np.int64)
        rows = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
        ends = np.cumsum(lengths, dtype=np.int64)
        place = np.arange(len(rows), dtype=np.int64) - np.repeat(ends - lengths, lengths)
        wires = np.repeat(self.first + start, lengths) + place
        if len(place) and int(place.max()) >= 62:
            powers = np.array([1 << each for each in place.tolist()], dtype=object)
        else:
            powers = np.left_shift(np.int64(1), place)
        return forms.collect(len(lengths), rows, wires, powers)

    def bit(self, place: Array | int) -> Form:
        """Return per element the one bit at `place`, which must exist."""
        return forms.of_wires(self.first + place)


class Builder:
    """Collects wires and rows; `public` wires exist from the start, as wires 1 to `public`."""

    def __init__(self, public: int) -> None:
        self.public = public
        self.wires = 1 + public
        self.rows = 0
        self.label = ""
        self.steps: list[Step] = []
        self.blocks: list[Block] = []
        self.free: list[int] = []
        """Wires that a prover chooses: inputs (or their bits), weights, blinding, binding. The others follow."""
        self._boolean: list[tuple[int, int]] = []
        self._a: list[Form] = []
        self._b: list[Form] = []
        self._c: list[Form] = []

    def new(self, count: int) -> Array:
        """Allocate private wires, consecutive; return their numbers, int64[count]."""
        first = self.wires
        self.wires += count
        return np.arange(first, self.wires, dtype=np.int64)

    def constrain(self, kind: str, a: Form, b: Form, c: Form) -> None:
        """Add rows `a * b = c`."""
        if not a.rows == b.rows == c.rows:
            raise ValueError(f"the sides of a block of constraints have {a.rows}, {b.rows} and {c.rows} rows")
        if a.rows == 0:
            return
        self.blocks.append(Block(self.label, kind, self.rows, a.rows))
        self.rows += a.rows
        self._a.append(a)
        self._b.append(b)
        self._c.append(c)

    def boolean(self, form: Form, kind: str = "boolean") -> None:
        """Constrain each element to 0 or 1: `x * (x - 1) = 0`."""
        self.constrain(kind, form, forms.shift(form, -1), forms.nothing(form.rows))

    def zero(self, form: Form, kind: str = "linear") -> None:
        """Constrain each element to 0, by a linear row `0 * 0 = x`."""
        self.constrain(kind, forms.nothing(form.rows), forms.nothing(form.rows), form)

    def equal(self, left: Form, right: Form, kind: str = "linear") -> None:
        """Constrain `left = right` by linear rows."""
        self.zero(forms.subtract(left, right), kind)

    def product(self, left: Form, right: Form, kind: str = "product") -> Array:
        """Return new wires that are `left * right`, elementwise."""
        wires = self.new(left.rows)
        self.constrain(kind, left, right, forms.of_wires(wires))
        return wires

    def assign(self, source: Form, kind: str = "assign") -> Array:
        """Return new wires that equal `source`, by linear rows."""
        wires = self.new(source.rows)
        self.equal(source, forms.of_wires(wires), kind)
        return wires

    def bits(self, widths: Array | Sequence[int], kind: str = "boolean") -> Bits:
        """Return new boolean wires, `widths[i]` for element i; one row each."""
        counts = np.asarray(widths, dtype=np.int64)
        wires = self.new(int(counts.sum()))
        self.boolean(forms.of_wires(wires), kind)
        self._boolean.append((self.wires - len(wires), self.wires))
        first = (int(wires[0]) if len(wires) else self.wires) + np.cumsum(counts) - counts
        return Bits(first, counts)

    def is_boolean(self, wires: Array) -> Array:
        """Return which wires were made as bits."""
        ends = np.array(self._boolean or [(0, 0)], dtype=np.int64)
        run = np.searchsorted(ends[:, 0], wires, side="right") - 1
        found: Array = (run >= 0) & (wires < ends[run, 1])
        return found

    def decompose(self, source: Form, widths: Array | Sequence[int], kind: str = "decomposition") -> Bits:
        """Return the bits of each element, which thereby is at least 0 and below 2^width; width + 1 rows each.

        An element of width 0 gets the row `element = 0`.
        """
        bits = self.bits(widths)
        self.equal(source, bits.value(), kind)
        return bits

    def finish(self) -> ConstraintSystem:
        """Return the finished system."""
        return ConstraintSystem(
            self.wires, self.public, *(_matrix(self.wires, side) for side in (self._a, self._b, self._c))
        )


def _matrix(wires: int, parts: list[Form]) -> Sparse:
    whole = forms.stack(parts) if parts else forms.nothing(0)
    if len(whole.indices) and not 0 <= int(whole.indices.min()) <= int(whole.indices.max()) < wires:
        raise ValueError("a constraint names a wire that does not exist")
    return Sparse(wires, whole.indptr, whole.indices, whole.values)
