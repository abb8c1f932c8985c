# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proof says to who may read it: the output in a statement as plain values, ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence

from proving.manifest import Manifest
from proving.settings import Reveal
from proving.statement.commitment import Secrets
from proving.statement.opening import Output, disclose, open_predicate, open_public, parse, unseal


def read_out(
    manifest: Manifest, words: Sequence[int], inputs: Sequence[int] | None = None, secrets: Secrets | None = None
) -> dict[str, object]:
    """Return what the words of a statement say.

    `inputs` (raw, in the model's order) and `secrets` are the client's own: they open a sealed output. Without them,
    and for a committed output, `sealed` or `commitment` holds the words as they are.

    Raises:
        StatementError: these are no words of this program, or the secrets are not those of the statement.
    """
    layout = manifest.statement_layout
    statement = parse(layout, words)
    said: dict[str, object] = {"meaning": manifest.output.meaning}
    if statement.public_inputs:
        said["public_inputs"] = list(statement.public_inputs)
    if statement.threshold is not None:
        said["threshold"] = statement.threshold / (1 << manifest.settings.output.score_bits)
    match layout.output.reveal:
        case Reveal.PREDICATE:
            return said | {"predicate": open_predicate(statement)}
        case Reveal.PUBLIC:
            return said | _values(manifest, open_public(statement))
        case Reveal.SEALED if inputs is not None and secrets is not None:
            return said | _values(manifest, unseal(statement, disclose(layout, inputs, secrets)))
        case Reveal.SEALED:
            return said | {"sealed": [str(word) for word in statement.outputs]}
        case _:
            return said | {"commitment": str(statement.outputs[0])}


def _values(manifest: Manifest, output: Output) -> dict[str, object]:
    labels = manifest.output.labels
    if output.name == "label":
        position = output.integers[0]
        return {"label": labels[position] if position < len(labels) else str(position)}
    if len(labels) == len(output.reals):
        return {"values": dict(zip(labels, output.reals, strict=True))}
    return {"values": list(output.reals)}


def sentence(said: dict[str, object]) -> str:
    """Return a read-out in one line for people."""
    for name in ("predicate", "label", "values"):
        if name in said:
            return f"{said[name]}: {said['meaning']}"
    return str(said["meaning"])
