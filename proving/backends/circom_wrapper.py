# SPDX-License-Identifier: GPL-3.0-or-later
"""The main component around a user's Circom template: it honours the statement by construction.

The user's circuit knows nothing of markets. The wrapper checks every input's range, commits to the private ones,
packs the public ones and the outputs, and takes the binding: the words of `proving/statement/layout.py`, in its
order. All but the binding are circom outputs (the first among public signals), the binding is the one public input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from protocol.errors import MalformedCircuitError, SecretError
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.backends.circom_map import CircomMap, Signal
from proving.backends.circom_source import CircomSource
from proving.constraints.system import ConstraintSystem
from proving.settings import Reveal, WeightMode
from proving.statement.commitment import TAG_OUT, TAG_PAD, Secrets
from proving.statement.layout import Layout
from proving.statement.schema import Packing, schema_hash

MAIN = "proofmesh_main.circom"
_CHUNK = 16
_P = "proofmesh_"


def layout_of(described: CircomMap) -> Layout:
    """Return the layout of the statement, by the same rules as a compiled model's."""
    settings = described.settings
    return Layout(settings.inputs, settings.output, described.revealed, None, 0, WeightMode.CONSTANT, 0)


def wrap(source: CircomSource, described: CircomMap, layout: Layout) -> dict[str, str]:
    """Return all files to compile, with the main one under the name `MAIN`."""
    return {**source.files, MAIN: "\n".join(_text(source, described, layout)) + "\n"}


def signals(layout: Layout, unsigned: Sequence[int], secrets: Secrets, binding: int) -> Mapping[str, Sequence[int]]:
    """Return the values of the wrapper's input signals, for the witness program.

    Raises:
        SecretError: a group of inputs has no blinding.
    """
    groups = secrets.groups[: len(layout.groups) - 1]
    if len(groups) < len(layout.groups) - 1:
        raise SecretError(f"The statement has {len(layout.groups) - 1} further groups, and {len(groups)} blindings.")
    given = {
        "binding": [binding],
        "input": list(unsigned),
        "blinding": [secrets.blinding, *groups],
        "output_key": [secrets.output_key],
    }
    if layout.output.reveal is Reveal.COMMITTED:
        given["output_blinding"] = [secrets.output]
    return {_P + name: values for name, values in given.items()}


def known_wires(system: ConstraintSystem, layout: Layout) -> list[int]:
    """Return the wires of all inputs, and of the signal that is 1.

    circom numbers the one, outputs, public inputs, private inputs, then what the main component declares. It leaves
    out an input that a linear constraint gives from others, so where inputs end is seen from the first declared
    signal: the square of the binding.

    Raises:
        MalformedCircuitError: there is no such square.
    """
    binding = len(layout.order)
    lone = [np.diff(each.indptr) == 1 for each in (system.a, system.b, system.c)]
    for row in np.flatnonzero(lone[0] & lone[1] & lone[2]).tolist():
        left, right, square = (next(iter(each.row(row))) for each in (system.a, system.b, system.c))
        if left == right == binding:
            return [*range(binding, square), square + 1]
    raise MalformedCircuitError("The compiled circuit does not take the binding as the wrapper does.")


def _text(source: CircomSource, described: CircomMap, layout: Layout) -> Iterator[str]:
    yield "pragma circom 2.0.0;"
    yield f'include "{source.main}";'
    yield 'include "poseidon.circom";'
    yield 'include "bitify.circom";'
    yield "template ProofmeshStatement() {"
    yield f"signal output {_P}word[{len(layout.order) - 1}];"
    yield f"signal input {_P}binding;"
    yield f"signal input {_P}input[{sum(each.count for each in layout.inputs)}];"
    yield f"signal input {_P}blinding[{len(layout.groups)}];"
    yield f"signal input {_P}output_key;"
    if layout.output.reveal is Reveal.COMMITTED:
        yield f"signal input {_P}output_blinding;"
    # A binding that no constraint touches could be replaced in a proof.
    yield f"signal {_P}binding_squared <== {_P}binding * {_P}binding;"
    # 1, as only these two rows say it: with it the words are products, and the compiler, which solves linear rows for
    # inputs if it can, leaves every input a wire. Without that nobody could see that inputs determine the words.
    yield f"signal {_P}one;"
    yield f"{_P}one <-- 1;"
    yield f"{_P}one * {_P}one === 1;"
    yield f"({_P}one + 1) * ({_P}one + 1) === 4;"
    yield f"component {_P}model = {source.call};"
    yield from _inputs(described)
    yield from _outputs(described)
    words: list[str] = []
    yield from _commitments(layout, words)
    words += _packed(layout.public.packing, f"{_P}input")
    yield from _revealed(layout, words)
    for place, word in enumerate(words):
        yield f"{_P}word[{place}] <== ({word}) * {_P}one;"
    yield "}"
    yield f"component main {{public [{_P}binding]}} = ProofmeshStatement();"


def _inputs(described: CircomMap) -> Iterator[str]:
    at = 0
    for signal, span in zip(described.inputs, described.ranges, strict=True):
        yield from _range_check(f"in_{signal.name}", f"{_P}input", at, signal.count, span.bits)
        for place, index in enumerate(_indices(signal)):
            yield f"{_P}model.{signal.name}{index} <== {_P}input[{at + place}] + ({span.low});"
        at += signal.count


def _outputs(described: CircomMap) -> Iterator[str]:
    """The outputs made unsigned, as one array of signals whose width is checked."""
    revealed = described.revealed
    yield f"signal {_P}output[{revealed.count}];"
    at = 0
    for signal in described.outputs:
        for place, index in enumerate(_indices(signal)):
            yield f"{_P}output[{at + place}] <== {_P}model.{signal.name}{index} + ({revealed.offset});"
        at += signal.count
    yield from _range_check("out", f"{_P}output", 0, revealed.count, revealed.bits)


def _range_check(name: str, array: str, start: int, count: int, bits: int) -> Iterator[str]:
    yield f"component {_P}range_{name}[{count}];"
    yield f"for (var i = 0; i < {count}; i++) {{"
    yield f"{_P}range_{name}[i] = Num2Bits({bits});"
    yield f"{_P}range_{name}[i].in <== {array}[{start} + i];"
    yield "}"


def _commitments(layout: Layout, words: list[str]) -> Iterator[str]:
    for place, group in enumerate(layout.groups):
        elements = [str(group.schema), *_packed(group.packing, f"{_P}input"), f"{_P}blinding[{place}]"]
        yield from _hash(f"group_{place}", elements)
        if place:
            words.append(_digest(f"group_{place}", len(elements)))
            continue
        yield from _hash("key", [str(TAG_OUT), f"{_P}output_key"])
        yield from _hash("commitment", [_digest("group_0", len(elements)), _digest("key", 2)])
        words.append(_digest("commitment", 2))


def _revealed(layout: Layout, words: list[str]) -> Iterator[str]:
    packed = _packed(layout.output_packing, f"{_P}output")
    if layout.output.reveal is Reveal.COMMITTED:
        elements = [str(schema_hash((layout.output_field,))), *packed, f"{_P}output_blinding"]
        yield from _hash("output", elements)
        words.append(_digest("output", len(elements)))
        return
    for index, word in enumerate(packed):
        if layout.output.reveal is Reveal.SEALED:
            yield from _hash(f"pad_{index}", [str(TAG_PAD), f"{_P}output_key", f"{_P}binding", str(index)])
            word = f"{word} + {_digest(f'pad_{index}', 4)}"
        words.append(word)


def _hash(name: str, elements: Sequence[str]) -> Iterator[str]:
    """Poseidon, 16 elements at a time, each digest in the capacity of the next: `permutation.chain`."""
    for part, start in enumerate(range(0, len(elements), _CHUNK)):
        chunk = elements[start : start + _CHUNK]
        component = f"{_P}hash_{name}_{part}"
        yield f"component {component} = PoseidonEx({len(chunk)}, 1);"
        yield f"{component}.initialState <== {f'{_P}hash_{name}_{part - 1}.out[0]' if part else '0'};"
        for place, element in enumerate(chunk):
            yield f"{component}.inputs[{place}] <== {element};"


def _digest(name: str, elements: int) -> str:
    return f"{_P}hash_{name}_{(elements - 1) // _CHUNK}.out[0]"


def _packed(words: Packing, array: str) -> list[str]:
    return [" + ".join(f"{array}[{position}] * {(1 << place) % R}" for position, place in word) for word in words]


def _indices(signal: Signal) -> Iterator[str]:
    for place in product(*(range(size) for size in signal.shape)):
        yield "".join(f"[{each}]" for each in place)
