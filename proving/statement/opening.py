# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reader does with a statement: parse its words, then open the output as far as its secrets reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from protocol.errors import SecretError, StatementError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.settings import InputRange, Reveal
from proving.statement.commitment import Secrets, commit_group, join, pad
from proving.statement.layout import Layout
from proving.statement.schema import unpack


@dataclass(frozen=True, slots=True)
class Statement:
    """The words of a proof, by meaning.

    `groups` are the commitments of further groups by number, `weights` that to private weights (Poseidon mode),
    `public_inputs` raw integers in the order of the public fields, `threshold` a public one at the scale `score_bits`.
    `outputs` are still words.
    """

    layout: Layout = field(repr=False)
    commitment: int
    groups: dict[int, int]
    weights: int | None
    public_inputs: tuple[int, ...]
    threshold: int | None
    outputs: tuple[int, ...]
    binding: int


@dataclass(frozen=True, slots=True)
class Output:
    """An opened output: integer n stands for the real n / 2^scale. A label is its position, scale 0."""

    name: str
    integers: tuple[int, ...] = field(repr=False)
    scale: int

    @property
    def reals(self) -> tuple[float, ...]:
        return tuple(each / (1 << self.scale) for each in self.integers)


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What opens one order's sealed output, to the client or to whom the client shows it; it opens nothing else.

    `left` is the left half of the commitment, which hides the inputs behind their blinding.
    """

    left: int = field(repr=False)
    output_key: int = field(repr=False)


def commitments_of(layout: Layout, raw: Sequence[int], secrets: Secrets) -> dict[int, int]:
    """Return the commitment of each group by number, from all inputs of the program and what opens them.

    Raises:
        SecretError: there are not as many blindings as groups.
        InputShapeError, InputRangeError: the inputs are not those of the fields.
    """
    main, *others = layout.groups
    if len(secrets.groups) != len(others):
        raise SecretError(f"The program has {len(others)} further groups, not {len(secrets.groups)}.")
    own = [raw[element] for element in main.elements]
    found = {0: join(commit_group(main.fields, own, secrets.blinding), secrets.output_key)}
    for group, blinding in zip(others, secrets.groups, strict=True):
        found[group.number] = commit_group(group.fields, [raw[element] for element in group.elements], blinding)
    return found


def parse(layout: Layout, words: Sequence[int]) -> Statement:
    """Return the parts of a statement, as the proof's public inputs give them.

    Raises:
        StatementError: they are not as many words, no field elements, or hold what no program packs.
    """
    if len(words) != len(layout.order):
        raise StatementError(f"A statement of this program has {len(layout.order)} words, not {len(words)}.")
    if any(type(each) is not int or not 0 <= each < BN254_SCALAR_ORDER for each in words):
        raise StatementError("A word of the statement is no field element.")
    found: dict[str, list[int]] = {}
    for meaning, word in zip(layout.order, words, strict=True):
        found.setdefault(meaning, []).append(word)
    outputs = tuple(found["output"])
    if layout.output.reveal in (Reveal.PUBLIC, Reveal.PREDICATE):
        _values(layout, outputs)
    limit = layout.threshold_field
    threshold = _raw(found["threshold"], (limit,))[0] if limit else None
    return Statement(
        layout,
        words[0],
        {each.number: found[f"group {each.number}"][0] for each in layout.groups[1:]},
        found["weights"][0] if "weights" in found else None,
        _raw(found.get("public input", []), layout.public.fields),
        threshold,
        outputs,
        words[-1],
    )


def open_public(statement: Statement) -> Output:
    """Return a public output."""
    _require(statement, Reveal.PUBLIC)
    return _values(statement.layout, statement.outputs)


def open_predicate(statement: Statement) -> bool:
    """Return the one bit of a predicate."""
    _require(statement, Reveal.PREDICATE)
    return bool(statement.outputs[0])


def disclose(layout: Layout, raw: Sequence[int], secrets: Secrets) -> Disclosure:
    """Return what opens the order's sealed output; `raw` are all inputs of the program, in order."""
    first = layout.groups[0]
    inputs = [raw[element] for element in first.elements]
    return Disclosure(commit_group(first.fields, inputs, secrets.blinding), secrets.output_key)


def unseal(statement: Statement, disclosure: Disclosure) -> Output:
    """Return a sealed output; the disclosure is checked against the commitment.

    Raises:
        StatementError: the disclosure is not that of this statement, or the output is not sealed.
        SecretError: a part of the disclosure is no field element.
    """
    _require(statement, Reveal.SEALED)
    if join(disclosure.left, disclosure.output_key) != statement.commitment:
        raise StatementError("The output key is not the one that this statement commits to.")
    words = [
        (word - pad(disclosure.output_key, statement.binding, index)) % BN254_SCALAR_ORDER
        for index, word in enumerate(statement.outputs)
    ]
    return _values(statement.layout, words)


def open_committed(statement: Statement, integers: Sequence[int], blinding: int) -> Output:
    """Return a committed output, given its values (as in `Output.integers`) and its blinding.

    Raises:
        StatementError: they are not what the statement commits to, or the output is not committed.
        SecretError: the blinding is no field element.
        InputShapeError, InputRangeError: they are no output of this program.
    """
    _require(statement, Reveal.COMMITTED)
    output = statement.layout.output_field
    if commit_group((output,), integers, blinding) != statement.outputs[0]:
        raise StatementError("The values and the blinding are not those of the committed output.")
    return Output(output.name, tuple(integers), output.scale)


def _values(layout: Layout, words: Sequence[int]) -> Output:
    r = layout.revealed
    return Output(r.name, _raw(words, (layout.output_field,)), r.scale)


def _raw(words: Sequence[int], fields: Sequence[InputRange]) -> tuple[int, ...]:
    elements = [each for each in fields for _ in range(each.count)]
    unsigned = unpack(words, [each.bits for each in elements])
    if unsigned is None:
        raise StatementError("A word of the statement has bits where no value is packed.")
    return tuple(value + each.low for value, each in zip(unsigned, elements, strict=True))


def _require(statement: Statement, reveal: Reveal) -> None:
    if statement.layout.output.reveal is not reveal:
        raise StatementError(f"The output of this statement is {statement.layout.output.reveal}, not {reveal}.")
