# SPDX-License-Identifier: GPL-3.0-or-later
"""Small programs: random ones over every kind of node, and hand-made networks of a given shape."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from proving.fixedpoint import bounds
from proving.fixedpoint.program import (
    Constant,
    Gather,
    Input,
    Linear,
    Maximum,
    Multiply,
    Node,
    NonNegative,
    Parameter,
    Piecewise,
    Program,
    Quotient,
    Ref,
    Rescale,
    Select,
    Thermometer,
)
from proving.settings import InputRange, OutputSpec, Reveal, WeightMode, WeightSpec
from proving.sparse import Sparse, exact, from_rows

OUTPUT = OutputSpec(Reveal.PUBLIC)
WIDE = 1 << 100
"""Random programs stop multiplying here."""


def program_of(
    nodes: Sequence[Node],
    inputs: Sequence[InputRange],
    scores: Ref | None = None,
    weights: WeightSpec | None = None,
    parameters: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
) -> Program:
    """Return a program whose scores are its last node, unless said otherwise."""
    return Program(
        inputs=tuple(inputs),
        weights=weights or WeightSpec(),
        output=OUTPUT,
        nodes=tuple(nodes),
        scores=len(nodes) - 1 if scores is None else scores,
        scale_bits=0,
        scales=(0,) * len(nodes),
        labels=tuple(labels or (f"{type(node).__name__}.{ref}" for ref, node in enumerate(nodes))),
        parameter_values=None if parameters is None else exact(list(parameters)),
    )


def random_inputs(program: Program, generator: random.Random) -> list[int]:
    """Return raw inputs within their ranges, the ends more often than they deserve."""
    elements = [field for field in program.inputs for _ in range(field.count)]
    return [
        generator.choice([field.low, field.high, generator.randint(field.low, field.high)]) for field in elements
    ]


class RandomProgram:
    """Grows a program node by node, with every kind of node that fits what is there."""

    def __init__(self, generator: random.Random, weights: WeightMode = WeightMode.CONSTANT) -> None:
        self.generator = generator
        self.inputs = tuple(
            InputRange(f"x{i}", generator.randint(-50, 50), generator.choice([1, 2, 3, 8, 20]), generator.randint(1, 3))
            for i in range(generator.randint(1, 3))
        )
        size = sum(each.count for each in self.inputs)
        self.nodes: list[Node] = [Input(size)]
        self.bounds = list(bounds.analyse(self.nodes, self.inputs))
        self.weights = WeightSpec(weights, generator.randint(2, 8))
        self.parameters: list[int] | None = None
        self.hidden: set[Ref] = set()
        if weights is not WeightMode.CONSTANT:
            count = generator.randint(2, 9)
            self.parameters = [generator.randrange(1 << self.weights.bits) for _ in range(count)]
            self._add(Parameter(count, self.weights.bits))
            self.hidden.add(len(self.nodes) - 1)
            self._private_layer()

    def grow(self, steps: int) -> Program:
        makers = (
            self._constant, self._gather, self._linear, self._multiply, self._square, self._rescale, self._maximum,
            self._non_negative, self._select, self._quotient, self._thermometer,
            self._piecewise,
        )
        for step in range(steps):
            if step == steps // 2 and self.parameters is not None:
                self._private_layer()
            node = self.generator.choice(makers)()
            if node is not None:
                self._add(node)
        everything = tuple(self._visible())
        size = sum(self.bounds[each].size for each in everything)
        # The last node looks at all others, so that none is left without a use.
        self._add(Linear(everything, from_rows(size, [dict.fromkeys(range(size), 1)]), exact([0])))
        return program_of(self.nodes, self.inputs, None, self.weights, self.parameters)

    def _add(self, node: Node) -> None:
        self.nodes.append(node)
        self.bounds = list(bounds.analyse(self.nodes, self.inputs))

    def _private_layer(self) -> None:
        """Add products of weights and values, and sums of them: some rows alike, some not, weights shared or not."""
        generator, source = self.generator, self._ref()
        if not self._narrow(source):
            source = 0
        assert self.parameters is not None
        size, rows, count = self.bounds[source].size, generator.randint(1, 4), len(self.parameters)
        shared = generator.random() < 0.3
        pairs = [
            (generator.randrange(count) if shared else (row * size + column) % count, column)
            for row in range(rows) for column in range(size)
        ]
        self._add(Gather((1,), np.array([p for p, _ in pairs])))
        self._add(Gather((source,), np.array([c for _, c in pairs])))
        weights, operands = len(self.nodes) - 2, len(self.nodes) - 1
        self._add(Multiply(weights, operands))
        self.hidden |= {weights, operands + 1}
        matrix = [
            {row * size + column: generator.choice([1, 1, 4]) for column in range(size)}
            | {rows * size + row % count: generator.randint(1, 2)}
            | {rows * size + count + generator.randrange(size): generator.randint(-9, -1)}
            for row in range(rows)
        ]
        sums = from_rows(rows * size + count + size, matrix)
        self._add(Linear((operands + 1, 1, source), sums, exact([generator.randint(-9, 9) for _ in matrix])))

    def _visible(self) -> list[Ref]:
        return [ref for ref in range(len(self.nodes)) if ref not in self.hidden]

    def _ref(self) -> Ref:
        return self.generator.choice(self._visible())

    def _like(self, ref: Ref) -> Ref:
        size = self.bounds[ref].size
        return self.generator.choice([each for each in self._visible() if self.bounds[each].size == size])

    def _narrow(self, *refs: Ref) -> bool:
        return all(self.bounds[each].magnitude < WIDE for each in refs)

    def _constant(self) -> Node:
        return Constant(exact([self.generator.randint(-9, 9) for _ in range(self.bounds[self._ref()].size)]))

    def _sources(self) -> tuple[Ref, ...]:
        return tuple({self._ref() for _ in range(self.generator.randint(1, 3))})

    def _gather(self) -> Node:
        sources = self._sources()
        size = sum(self.bounds[each].size for each in sources)
        index = [self.generator.randrange(size) for _ in range(self.generator.randint(1, 5))]
        return Gather(sources, np.array(index, dtype=np.int64))

    def _linear(self) -> Node | None:
        sources = self._sources()
        if not self._narrow(*sources):
            return None
        size = sum(self.bounds[each].size for each in sources)
        large = self.generator.choice([3, 100, 100, 1 << 40])
        rows = [
            {c: self.generator.randint(-large, large) for c in range(size) if self.generator.random() < 0.7}
            for _ in range(self.generator.randint(1, 4))
        ]
        bias = [self.generator.randint(-large, large) for _ in rows]
        return Linear(sources, from_rows(size, rows), exact(bias))

    def _multiply(self) -> Node | None:
        left = self._ref()
        right = self._like(left)
        return Multiply(left, right) if self._narrow(left, right) else None

    def _square(self) -> Node | None:
        ref = self._ref()
        return Multiply(ref, ref) if self._narrow(ref) else None

    def _rescale(self) -> Node:
        relu = self.generator.random() < 0.6
        return Rescale(self._ref(), self.generator.choice([0, 1, 4, 9] if relu else [1, 4, 9]), relu)

    def _maximum(self) -> Node:
        left = self._ref()
        return Maximum(left, self._like(left))

    def _non_negative(self) -> Node:
        return NonNegative(self._ref())

    def _select(self) -> Node | None:
        conditions = [
            ref for ref in self._visible()
            if int(self.bounds[ref].low.min()) >= 0 and int(self.bounds[ref].high.max()) <= 1
        ]
        if not conditions:
            return None
        condition = self.generator.choice(conditions)
        return Select(condition, self._like(condition), self._like(condition))

    def _quotient(self) -> Node | None:
        pairs = [
            (a, b) for a in self._visible() for b in self._visible()
            if self.bounds[a].size == self.bounds[b].size
            and int(self.bounds[a].low.min()) >= 0 and int(self.bounds[b].low.min()) >= 1
        ]
        return Quotient(*self.generator.choice(pairs)) if pairs else self._positive()

    def _positive(self) -> Node | None:
        """Shift something above 0, so that a later Quotient has a divisor."""
        ref = self._ref()
        if not self._narrow(ref):
            return None
        size = self.bounds[ref].size
        identity = Sparse(size, np.arange(size + 1), np.arange(size), np.ones(size, dtype=np.int64))
        return Linear((ref,), identity, exact([1 - int(each) for each in self.bounds[ref].low]))

    def _thermometer(self) -> Node | None:
        ref = self._ref()
        thresholds = []
        for low, high in zip(self.bounds[ref].low.tolist(), self.bounds[ref].high.tolist(), strict=True):
            count = min(self.generator.choice([0, 1, 1, 2, 5]), high - low)
            if high - low < 64:
                picked = self.generator.sample(range(low, high), count)
            else:
                picked = list({self.generator.randrange(low, high) for _ in range(count)})
            thresholds.append(tuple(sorted(picked)))
        return Thermometer(ref, tuple(thresholds)) if any(thresholds) else None

    def _piecewise(self) -> Node | None:
        made = [(ref, node) for ref, node in enumerate(self.nodes) if isinstance(node, Thermometer)]
        if not made:
            return None
        ref, thermometer = self.generator.choice(made)
        if not self._narrow(thermometer.source):
            return None
        segments = sum(len(each) + 1 for each in thermometer.thresholds)
        slopes, intercepts = ([self.generator.randint(-9, 9) for _ in range(segments)] for _ in range(2))
        return Piecewise(thermometer.source, ref, exact(slopes), exact(intercepts))


def random_program(seed: int, steps: int = 12, weights: WeightMode = WeightMode.CONSTANT) -> Program:
    return RandomProgram(random.Random(seed), weights).grow(steps)
