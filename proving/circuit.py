# SPDX-License-Identifier: GPL-3.0-or-later
"""Rank-1 constraint systems: the builder, and the witness of what it built.

Wire 0 is the constant 1, then come the public wires, then the private ones. A linear combination is a dict
from wire to coefficient, so it cannot list a wire twice (snarkjs and arkworks disagree on what that means).
Coefficients are signed integers here and residues in the file. Linear rows are `0 * 0 = lc`: they cost
nothing in a proving key. Each wire beside the inputs is defined by one `Step`, recorded with its constraint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.errors import ProvingError
from protocol.scalars import BN254_SCALAR_ORDER

ONE = 0

Lc = Mapping[int, int]
"""A linear combination: wire -> coefficient."""


@dataclass(frozen=True, slots=True)
class Bits:
    """Wires `first..first+count-1` are the bits of `source`, lowest first."""

    source: Lc
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Product:
    """Wire `wire` is `left * right`."""

    left: Lc
    right: Lc
    wire: int


@dataclass(frozen=True, slots=True)
class Linear:
    """Wire `wire` is `source`."""

    source: Lc
    wire: int


Step = Bits | Product | Linear
Constraint = tuple[Lc, Lc, Lc]


@dataclass(frozen=True, slots=True)
class ConstraintSystem:
    """A finished circuit: `a * b = c` for each constraint; `inputs` are the wires that a prover supplies."""

    wires: int
    public: int
    inputs: tuple[int, ...]
    constraints: tuple[Constraint, ...]
    steps: tuple[Step, ...]

    def solve(self, inputs: Mapping[int, int]) -> list[int]:
        """Return the value of every wire, as residues, from the values of the input wires.

        Raises:
            ProvingError: an input value does not fit the bits that the circuit gives it.
        """
        values = [0] * self.wires
        values[ONE] = 1
        for wire in self.inputs:
            values[wire] = inputs[wire] % BN254_SCALAR_ORDER
        for step in self.steps:
            if isinstance(step, Bits):
                _split(values, step)
            elif isinstance(step, Product):
                values[step.wire] = _residue(step.left, values) * _residue(step.right, values)
                values[step.wire] %= BN254_SCALAR_ORDER
            else:
                values[step.wire] = _residue(step.source, values)
        return values

    def violated(self, values: list[int]) -> int | None:
        """Return the index of the first constraint that the values break, or None."""
        for index, (a, b, c) in enumerate(self.constraints):
            product = _residue(a, values) * _residue(b, values)
            if (product - _residue(c, values)) % BN254_SCALAR_ORDER:
                return index
        return None


def _residue(lc: Lc, values: list[int]) -> int:
    return sum(coefficient * values[wire] for wire, coefficient in lc.items()) % BN254_SCALAR_ORDER


def _split(values: list[int], step: Bits) -> None:
    whole = _residue(step.source, values)
    if whole >> step.count:
        raise ProvingError("A value does not fit its bits in the circuit.")
    for place in range(step.count):
        values[step.first + place] = whole >> place & 1


@dataclass(slots=True)
class Circuit:
    """Collects wires, constraints and steps; `public` wires exist from the start."""

    public: int
    wires: int = field(init=False)
    inputs: list[int] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wires = 1 + self.public

    def input(self) -> int:
        """Add a private wire that the prover supplies."""
        self.inputs.append(self.wires)
        return self._new(1)

    def public_input(self, wire: int) -> None:
        """Let the prover supply a public wire; squared, so that no constraint-free input is dropped."""
        self.inputs.append(wire)
        self.product({wire: 1}, {wire: 1})

    def bits(self, source: Lc, count: int) -> range:
        """Decompose `source`, which thereby is below 2^count; costs count + 1 constraints."""
        first = self._new(count)
        wires = range(first, first + count)
        for wire in wires:
            self.boolean(wire)
        self.steps.append(Bits(source, first, count))
        self._linear(minus(source, {wire: 1 << place for place, wire in enumerate(wires)}))
        return wires

    def boolean(self, wire: int) -> None:
        """Constrain a wire to 0 or 1."""
        self.constraints.append(({wire: 1}, {wire: 1, ONE: -1}, {}))

    def product(self, left: Lc, right: Lc) -> int:
        """Add the wire `left * right`; one constraint."""
        wire = self._new(1)
        self.steps.append(Product(left, right, wire))
        self.constraints.append((left, right, {wire: 1}))
        return wire

    def assign(self, source: Lc, wire: int | None = None) -> int:
        """Make a wire (a new one, or a public one) equal to `source`; one linear constraint."""
        wire = self._new(1) if wire is None else wire
        self.steps.append(Linear(source, wire))
        self._linear(minus(source, {wire: 1}))
        return wire

    def finish(self) -> ConstraintSystem:
        """Return the finished circuit."""
        return ConstraintSystem(
            self.wires, self.public, tuple(self.inputs), tuple(self.constraints), tuple(self.steps)
        )

    def _linear(self, lc: Lc) -> None:
        self.constraints.append(({}, {}, lc))

    def _new(self, count: int) -> int:
        first = self.wires
        self.wires += count
        return first


def plus(*terms: Lc) -> dict[int, int]:
    """Return the sum of linear combinations, each wire once, zero coefficients left out."""
    total: dict[int, int] = {}
    for term in terms:
        for wire, coefficient in term.items():
            total[wire] = total.get(wire, 0) + coefficient
    return {wire: coefficient for wire, coefficient in total.items() if coefficient}


def times(scalar: int, lc: Lc) -> dict[int, int]:
    """Return a multiple of a linear combination."""
    return {wire: scalar * coefficient for wire, coefficient in lc.items()} if scalar else {}


def minus(left: Lc, right: Lc) -> dict[int, int]:
    """Return `left - right`."""
    return plus(left, times(-1, right))
