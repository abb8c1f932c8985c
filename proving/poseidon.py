# SPDX-License-Identifier: GPL-3.0-or-later
"""Poseidon over the BN254 scalar field with circomlib's parameters, from t = 2 to t = 17.

The constants come from the Grain LFSR of the reference script (Grassi et al., "Poseidon", USENIX Security
2021, appendix F; `generate_parameters_grain.sage 1 0 254 t 8 R_P r`); the tests compare them with
circomlib's own tables. Alpha is 5, R_F is 8, R_P depends on t.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from protocol.scalars import BN254_SCALAR_ORDER

FULL_ROUNDS = 8
PARTIAL_ROUNDS = (56, 57, 56, 60, 60, 63, 64, 63, 60, 66, 60, 65, 70, 60, 64, 68)
"""R_P for t = 2..17, as in circomlib's poseidon.circom."""
MAX_ELEMENTS = 16
FIELD_BITS = 254


@dataclass(frozen=True, slots=True)
class Parameters:
    """`constants[r][i]` is added to state i in round r; `matrix[i][j]` leads from state j to state i."""

    width: int
    partial_rounds: int
    constants: tuple[tuple[int, ...], ...]
    matrix: tuple[tuple[int, ...], ...]

    def is_full(self, round_index: int) -> bool:
        half = FULL_ROUNDS // 2
        return round_index < half or round_index >= half + self.partial_rounds


def poseidon(elements: Sequence[int], initial: int = 0) -> int:
    """Hash 1 to 16 field elements, with `initial` in the capacity: circomlib's PoseidonEx, first output."""
    parameters = parameters_for(len(elements) + 1)
    state = [initial, *elements]
    for index, constants in enumerate(parameters.constants):
        state = [(value + c) % BN254_SCALAR_ORDER for value, c in zip(state, constants, strict=True)]
        if parameters.is_full(index):
            state = [pow(value, 5, BN254_SCALAR_ORDER) for value in state]
        else:
            state[0] = pow(state[0], 5, BN254_SCALAR_ORDER)
        state = [
            sum(m * value for m, value in zip(row, state, strict=True)) % BN254_SCALAR_ORDER
            for row in parameters.matrix
        ]
    return state[0]


def poseidon_chain(elements: Sequence[int]) -> int:
    """Hash any fixed number of elements: 16 at a time, each digest in the next one's capacity.

    Up to 16 elements this is `poseidon`. The number of elements must be fixed by what is hashed.
    """
    digest = 0
    for start in range(0, len(elements), MAX_ELEMENTS):
        digest = poseidon(elements[start : start + MAX_ELEMENTS], digest)
    return digest


@lru_cache(maxsize=16)
def parameters_for(width: int) -> Parameters:
    """Return the parameters for a state of `width` elements (one more than are hashed)."""
    if not 2 <= width <= MAX_ELEMENTS + 1:
        raise ValueError("Poseidon hashes 1 to 16 elements")
    partial_rounds = PARTIAL_ROUNDS[width - 2]
    bits = _grain_bits(width, partial_rounds)
    constants = []
    for _ in range(FULL_ROUNDS + partial_rounds):
        constants.append(tuple(_below_order(bits) for _ in range(width)))
    return Parameters(width, partial_rounds, tuple(constants), _cauchy_matrix(bits, width))


def _cauchy_matrix(bits: Iterator[int], width: int) -> tuple[tuple[int, ...], ...]:
    # The reference script draws again if points repeat; for these parameters its first draw is good.
    points = [_take(bits) % BN254_SCALAR_ORDER for _ in range(2 * width)]
    rows, columns = points[:width], points[width:]
    return tuple(tuple(pow(x + y, -1, BN254_SCALAR_ORDER) for y in columns) for x in rows)


def _below_order(bits: Iterator[int]) -> int:
    while (value := _take(bits)) >= BN254_SCALAR_ORDER:
        continue
    return value


def _take(bits: Iterator[int]) -> int:
    value = 0
    for _ in range(FIELD_BITS):
        value = value << 1 | next(bits)
    return value


def _grain_bits(width: int, partial_rounds: int) -> Iterator[int]:
    """Yield the self-shrunk output of the 80-bit Grain LFSR, warmed up by 160 steps."""
    seed = 0
    fields = ((1, 2), (0, 4), (FIELD_BITS, 12), (width, 12), (FULL_ROUNDS, 10), (partial_rounds, 10))
    for value, size in (*fields, ((1 << 30) - 1, 30)):
        seed = seed << size | value
    # Bit i of `state` is register i, so that a step is one shift. A new bit depends on none of the 18 before it
    # (the last tap is 62 of 80), so 18 steps are as simple as one.
    state = int(f"{seed:080b}"[::-1], 2)

    def steps(count: int) -> int:
        """Return the next `count` bits, at most 18, the first lowest."""
        nonlocal state
        new = (state ^ state >> 13 ^ state >> 23 ^ state >> 38 ^ state >> 51 ^ state >> 62) & (1 << count) - 1
        state = state >> count | new << 80 - count
        return new

    for _ in range(16):
        steps(10)
    while True:
        # Of each pair the second bit counts if the first is 1.
        new = steps(18)
        for place in range(0, 18, 2):
            if new >> place & 1:
                yield new >> place + 1 & 1
