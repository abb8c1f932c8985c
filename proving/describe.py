# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program's outputs say, in numbers and in words: a function of the compiled model, so the audit compares it."""

from __future__ import annotations

from proving.manifest import OutputEntry
from proving.settings import OutputSpec, Predicate, Reveal
from proving.statement.layout import Layout

DECIMALS_SHOWN = 6


def describe_output(layout: Layout, labels: tuple[str, ...]) -> OutputEntry:
    """Return the manifest's entry for the outputs of a statement."""
    revealed = layout.revealed
    return OutputEntry(
        labels=labels,
        name=revealed.name,
        count=revealed.count,
        bits=revealed.bits,
        offset=str(revealed.offset),
        scale=revealed.scale,
        scale_bits=layout.threshold_scale,
        threshold_score=None if layout.threshold is None else str(layout.threshold),
        meaning=_meaning(layout, labels),
    )


def _meaning(layout: Layout, labels: tuple[str, ...]) -> str:
    spec = layout.output
    if spec.reveal is Reveal.PREDICATE:
        return _predicate(layout, spec, labels)
    what = _what(layout, labels)
    match spec.reveal:
        case Reveal.SEALED:
            return f"{what}; readable by the client alone"
        case Reveal.COMMITTED:
            return f"a commitment to {what}"
        case _:
            return what


def _what(layout: Layout, labels: tuple[str, ...]) -> str:
    revealed = layout.revealed
    if revealed.name == "label":
        return "the position of the label with the largest score"
    if revealed.name != "scores":
        return f"{revealed.name}, {revealed.count} values in multiples of 2^-{revealed.scale}"
    kind = f"the score of {labels[-1]!r}" if labels and revealed.count == 1 else "the scores"
    return f"{kind}, rounded down to multiples of 2^-{revealed.scale}"


def _predicate(layout: Layout, spec: OutputSpec, labels: tuple[str, ...]) -> str:
    if spec.predicate is Predicate.CLASS:
        return f"1 if the most likely label is {spec.label!r}, otherwise 0"
    if spec.predicate is Predicate.TOP_K:
        return f"1 if {spec.label!r} is among the {spec.k} most likely labels, otherwise 0"
    side = "at most" if spec.at_most else "at least"
    if spec.threshold_public:
        return f"1 if the score is {side} the threshold in the statement, otherwise 0"
    assert layout.threshold is not None  # a constant threshold has one
    score = _shown(layout.threshold, layout.threshold_scale)
    if spec.threshold_on == "score" or not labels:
        return f"1 if the score is {side} {score}, otherwise 0"
    return (
        f"1 if the model gives {labels[-1]!r} a probability of {side} {spec.threshold} "
        f"(a score of {side} {score}), otherwise 0"
    )


def _shown(score: int, scale_bits: int) -> str:
    """Return `score / 2^scale_bits` to six decimals, towards zero, in integers."""
    millionths = abs(score) * 10**DECIMALS_SHOWN >> scale_bits
    whole, rest = divmod(millionths, 10**DECIMALS_SHOWN)
    return f"{'-' if score < 0 else ''}{whole}.{rest:0{DECIMALS_SHOWN}d}"
