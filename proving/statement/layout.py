# SPDX-License-Identifier: GPL-3.0-or-later
"""What the public inputs of a program mean, word by word; hashed into its program id.

A word is a field element. Order: commitment, commitments of further groups by rising number, commitment to the
weights (Poseidon mode), public inputs packed, threshold (where it is a public input), outputs, binding. Folded weights
follow in the circuit, but the per-model verifying key folds them away: no statement shows them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property

from protocol.errors import CompileSettingsError
from protocol.hashing import keccak256
from proving.constraints.weight_words import packing_of
from proving.fixedpoint.program import Program, Revealed
from proving.settings import InputRange, OutputSpec, Predicate, Reveal, WeightMode
from proving.statement.schema import PACKED_BITS, Group, Packing, committed_groups, describe, packing, public_group

MAX_BETWEEN = 64
"""Most words between commitment and binding: what a message and the Escrow take as outputs (protocol/messages.py)."""


@dataclass(frozen=True)
class Layout:
    """What the words of a statement mean. `threshold` is a constant one, at `threshold_scale` fractional bits.

    `inputs` are the program's, a public threshold included (the last). `weights` counts the words that private
    weights are packed into (constraints/weight_words.py).
    """

    inputs: tuple[InputRange, ...]
    output: OutputSpec
    revealed: Revealed
    threshold: int | None
    threshold_scale: int
    weight_mode: WeightMode
    weights: int

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The committed groups; the first is group 0."""
        return committed_groups(self.inputs)

    @cached_property
    def public(self) -> Group:
        """The packed public inputs."""
        return public_group(self.inputs[:-1] if self.output.threshold_public else self.inputs)

    @property
    def threshold_field(self) -> InputRange | None:
        """The range of the threshold, where it is a public input."""
        return self.inputs[-1] if self.output.threshold_public else None

    @cached_property
    def output_packing(self) -> Packing:
        return packing([self.revealed.bits] * self.revealed.count)

    @property
    def output_words(self) -> int:
        return 1 if self.output.reveal is Reveal.COMMITTED else len(self.output_packing)

    @property
    def output_field(self) -> InputRange:
        """The output as a field: the schema of a committed output, and the input of a program that follows."""
        r = self.revealed
        return InputRange(r.name, -r.offset, r.bits, r.count, r.scale)

    @property
    def order(self) -> tuple[str, ...]:
        """What each word is, in order, up to the binding."""
        return (
            "commitment",
            *(f"group {each.number}" for each in self.groups[1:]),
            *(["weights"] if self.weight_mode is WeightMode.POSEIDON else []),
            *["public input"] * len(self.public.packing),
            *(["threshold"] if self.output.threshold_public else []),
            *["output"] * self.output_words,
            "binding",
        )

    def description(self) -> dict[str, object]:
        """Return everything that gives the words their meaning, ready for JSON."""
        spec, r = self.output, self.revealed
        output: dict[str, object] = {"reveal": spec.reveal.value, "name": r.name}
        if spec.reveal is Reveal.PREDICATE:
            output |= {"predicate": str(spec.predicate), "at_most": spec.at_most, "label": spec.label, "k": spec.k}
            if self.threshold is not None:
                output |= {"threshold": str(self.threshold), "threshold_scale": self.threshold_scale}
        else:
            output |= {"count": r.count, "bits": r.bits, "offset": str(r.offset), "scale": r.scale}
        if spec.reveal is Reveal.COMMITTED:
            output |= {"schema": _hex(Group(0, (self.output_field,), ()).schema)}
        field = self.threshold_field
        return {
            "format": "proofmesh.layout.v2",
            "order": list(self.order),
            "groups": [{"number": each.number, "schema": _hex(each.schema)} for each in self.groups],
            "public": [describe(each) for each in self.public.fields],
            "threshold": describe(field) if field else None,
            "packing": ["first-lowest", PACKED_BITS],
            "output": output,
            "weights": {"mode": self.weight_mode.value, "words": self.weights},
        }

    def digest(self) -> bytes:
        """Return Keccak-256 of the canonical description, 32 bytes."""
        return keccak256(json.dumps(self.description(), sort_keys=True, separators=(",", ":")).encode())


def layout_of(program: Program) -> Layout:
    """Return the layout of a program's statement.

    Raises:
        CompileSettingsError: the statement has more words than a proof may carry, or its output cannot be a field
            (too many elements, a name that is too long).
    """
    if program.revealed is None:
        raise ValueError("the program does not say what its statement reveals")
    weights = packing_of(program)
    # Nothing of the reference to the node is part of the meaning.
    layout = Layout(
        program.inputs,
        program.output,
        replace(program.revealed, ref=0),
        program.threshold if program.output.predicate is Predicate.THRESHOLD else None,
        program.scale_bits,
        program.weights.mode,
        0 if weights is None else len(weights.words),
    )
    describe(layout.output_field)
    if (between := len(layout.order) - 2) > MAX_BETWEEN:
        raise CompileSettingsError(
            f"The statement has {between} words besides commitment and binding, and a proof carries {MAX_BETWEEN}: "
            "make inputs private, give them fewer bits, or reveal less."
        )
    return layout




def _hex(element: int) -> str:
    return f"{element:064x}"
