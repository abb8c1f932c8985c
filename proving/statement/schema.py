# SPDX-License-Identifier: GPL-3.0-or-later
"""What is committed together, and how integers are packed into field elements.

A group is the private fields of one commitment. Its schema, the first element that is hashed, stands for the fields
in their order (name, number of elements, range, scale, encoding) and for the packing, so that one commitment cannot
be opened under two readings. Names belong to it: income and debt of one range are two readings. Who lets others
attest data once for several programs gives the same fields a group of their own in each of them.

Elements are unsigned (`raw - low`) and range-checked; they are packed in order, the first lowest, as many whole
ones as fit into 248 bits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.hashing import keccak256
from proving.settings import InputRange, Visibility

PACKED_BITS = 248
Packing = tuple[tuple[tuple[int, int], ...], ...]
"""For each field element, which elements it holds and at which bit: (position, place)."""


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that stand together. `elements[i]` is the place of element i in the program's Input node."""

    number: int
    fields: tuple[InputRange, ...]
    elements: tuple[int, ...]

    @property
    def packing(self) -> Packing:
        """How the elements are packed; positions are those in the Input node."""
        widths = [each.bits for each in self.fields for _ in range(each.count)]
        return tuple(
            tuple((self.elements[position], place) for position, place in word) for word in packing(widths)
        )

    @property
    def schema(self) -> int:
        return schema_hash(self.fields)


def committed_groups(inputs: Sequence[InputRange]) -> tuple[Group, ...]:
    """Return the groups of private fields, by number. Group 0 is always there, maybe without fields."""
    numbers = {0} | {each.group for each in inputs if each.visibility is Visibility.PRIVATE}
    return tuple(
        _group(number, inputs, [e.visibility is Visibility.PRIVATE and e.group == number for e in inputs])
        for number in sorted(numbers)
    )


def public_group(inputs: Sequence[InputRange]) -> Group:
    """Return the public fields, whatever their group."""
    return _group(0, inputs, [each.visibility is Visibility.PUBLIC for each in inputs])


def _group(number: int, inputs: Sequence[InputRange], chosen: Sequence[bool]) -> Group:
    elements: list[int] = []
    start = 0
    for each, taken in zip(inputs, chosen, strict=True):
        elements += range(start, start + each.count) if taken else ()
        start += each.count
    fields = tuple(each for each, taken in zip(inputs, chosen, strict=True) if taken)
    return Group(number, fields, tuple(elements))


def schema_hash(fields: Sequence[InputRange]) -> int:
    """Return the field element that stands for the fields of a commitment."""
    return _hashed({"format": "proofmesh.fields.v2", "fields": [describe(each) for each in fields]})


def weights_schema(words: int) -> int:
    """Return the field element that stands for committed weights, which are so many words of the circuit."""
    return _hashed({"format": "proofmesh.weights.v2", "words": words})


def describe(field: InputRange) -> list[object]:
    """Return name, number of elements, lower end, bits, scale and encoding, ready for JSON."""
    return [field.name, field.count, str(field.low), field.bits, field.scale, field.encoding.value]


def packing(widths: Sequence[int]) -> Packing:
    """Return how elements of these widths (bits) are packed."""
    words: list[list[tuple[int, int]]] = []
    place = PACKED_BITS
    for position, width in enumerate(widths):
        if place + width > PACKED_BITS:
            words.append([])
            place = 0
        words[-1].append((position, place))
        place += width
    return tuple(tuple(word) for word in words)


def pack(values: Sequence[int], words: Packing) -> list[int]:
    """Return the packed elements of unsigned values."""
    return [sum([values[position] << place for position, place in word]) for word in words]


def unpack(words: Sequence[int], widths: Sequence[int]) -> list[int] | None:
    """Return the unsigned values in packed words; None if a word has bits where there is no value."""
    values = []
    for word, held in zip(words, packing(widths), strict=True):
        for position, place in held:
            values.append(word >> place & ((1 << widths[position]) - 1))
        last, place = held[-1]
        if word >> (place + widths[last]):
            return None
    return values


def _hashed(description: dict[str, object]) -> int:
    description |= {"packing": ["first-lowest", PACKED_BITS]}
    return int.from_bytes(keccak256(json.dumps(description, sort_keys=True).encode()), "big") >> 8
