# SPDX-License-Identifier: GPL-3.0-or-later
"""The check that every compiled circuit passes: its statement, and what is hashed into it, leave one output.

*Known* are the public wires that are no outputs (public inputs, threshold, binding, folded weights) and the elements
that are hashed into the commitments. They are found by walking back from the commitments' wires through Poseidon's
rows, not taken from the emitter. Two openings of a commitment with different elements would be a collision, so
elements are as good as fixed by the statement. From them must follow: the outputs, and every input and weight, or
else what is packed could be read in two ways. Free by design are the elements themselves (inputs and secrets are the
prover's choice) and the blinding of an output that is a commitment; nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from protocol.errors import UndeterminedOutputError
from proving.constraints.builder import Block
from proving.constraints.determinism import Determinism, analyse, with_definitions
from proving.constraints.emit import EmittedCircuit
from proving.constraints.public_wires import PublicWires
from proving.constraints.system import ONE
from proving.sparse import Sparse

HASHING, SQUARE = "poseidon", "poseidon square"
"""Blocks of rows whose kind starts like the first are a permutation's; those of the second begin an S-box."""

Form = dict[int, int]


def require_determined(circuit: EmittedCircuit) -> Determinism:
    """Check that a statement admits one output, and one reading of its commitments; return how that was shown.

    Raises:
        UndeterminedOutputError: some wires do not follow; the message says which.
        MalformedCircuitError: a row is not in canonical form.
    """
    public = circuit.public
    hashing = _Hashing(circuit)
    system, names = with_definitions(circuit.system, hashing.elements(commitments(public)))
    found = analyse(system, (*given(public), *names, *hashing.output_blindings(public.outputs)))
    for what, wires in (
        ("inputs or secrets", circuit.free), ("outputs", public.outputs), ("commitments", commitments(public)),
    ):  # fmt: skip
        if free := found.free(wires):
            raise UndeterminedOutputError(
                f"The statement does not determine {what} of the circuit ({len(free)} wires, the first is {free[0]})."
            )
    return found


def given(public: PublicWires) -> tuple[int, ...]:
    """Return the public wires that a verifier chooses or knows beforehand."""
    threshold = () if public.threshold is None else (public.threshold,)
    return (*public.inputs, *threshold, public.binding, *map(int, public.weights))


def commitments(public: PublicWires) -> tuple[int, ...]:
    """Return the public wires that are hashes of inputs and weights."""
    weights = () if public.weight_commitment is None else (public.weight_commitment,)
    return (public.commitment, *public.groups, *weights)


def hashed_elements(circuit: EmittedCircuit, digests: Iterable[int]) -> list[Form]:
    """Return the combinations (without constants) that enter the hashes behind some public wires."""
    return _Hashing(circuit).elements(digests)


class _Hashing:
    """The Poseidon rows of a circuit, walked from their results back to what enters them."""

    def __init__(self, circuit: EmittedCircuit) -> None:
        self._system = system = circuit.system
        hashing = [(row, b.kind) for b in circuit.blocks if b.kind.startswith(HASHING) for row in _rows_of_block(b)]
        self._rows = {row for row, _ in hashing}
        self._squares = {row for row, kind in hashing if kind == SQUARE}
        self._made_by = {wire: row for row in self._rows for wire in system.c.row(row)}
        linear = np.diff(system.a.indptr) * np.diff(system.b.indptr) == 0
        assigned = system.c.indices[np.repeat(linear, np.diff(system.c.indptr))]
        self._others = {*circuit.free, *assigned.tolist()}
        """Wires that something else than a hash speaks of; any other wire is one that a hash fails to make."""

    def elements(self, digests: Iterable[int]) -> list[Form]:
        """Return the combinations that enter the hashes behind some public wires, without constants."""
        waiting = [wire for digest in digests for wire in self._definition(digest) if wire in self._made_by]
        seen: set[int] = set()
        found: dict[tuple[tuple[int, int], ...], Form] = {}
        while waiting:
            row = self._made_by[waiting.pop()]
            if row in seen:
                continue
            seen.add(row)
            for side in (self._system.a, self._system.b):
                form = side.row(row)
                inner = [wire for wire in form if wire in self._made_by]
                waiting.extend(inner)
                outer = {wire: c for wire, c in form.items() if wire not in self._made_by and wire != ONE}
                if row in self._squares and not inner and outer.keys() <= self._others:
                    found.setdefault(tuple(outer.items()), outer)
        return list(found.values())

    def output_blindings(self, outputs: Iterable[int]) -> list[int]:
        """Return the wires that enter nothing but hashes, and among them one that is an output as it is."""
        digests = [
            wire for wire in outputs
            if (row := self._definition(wire)) and all(each in self._made_by for each in row if each not in (wire, ONE))
        ]  # fmt: skip
        alone = [next(iter(form)) for form in self.elements(digests) if len(form) == 1]
        return [wire for wire in alone if self._rows_of(wire) <= self._rows]

    def _definition(self, wire: int) -> Mapping[int, int]:
        """Return the linear row that defines a public wire; empty if there is none."""
        system = self._system
        for row in (int(each) for each in system.c.row_of_entry()[system.c.indices == wire]):
            if _is_empty(system.a, row) or _is_empty(system.b, row):
                return system.c.row(row)
        return {}

    def _rows_of(self, wire: int) -> set[int]:
        sides = (self._system.a, self._system.b, self._system.c)
        return {int(row) for side in sides for row in side.row_of_entry()[side.indices == wire]}


def _rows_of_block(block: Block) -> range:
    return range(block.first, block.first + block.count)


def _is_empty(matrix: Sparse, row: int) -> bool:
    return int(matrix.indptr[row]) == int(matrix.indptr[row + 1])
