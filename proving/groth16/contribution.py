# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of phase 2 contributions, as section 10 of a .zkey file holds them (snarkjs' zkey_utils.js)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.errors import KeyMaterialError

DIGEST_BYTES = 64
MAX_CONTRIBUTIONS = 4096
MAX_NAME_CHARACTERS, MAX_BEACON_BYTES = 64, 255
PLAIN, BEACON = 0, 1
_POINTS = (64, 64, 64, 128)
_NAME, _ITERATIONS, _BEACON = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Contribution:
    """One factor of delta, with a proof that its maker knew it; points are raw (curve.py).

    `delta_after` is delta1 with all factors so far; `s` a random point, `sx` the factor times it, `spx` the factor
    times the G2 point that `transcript` hashes to. A beacon has its hash and the exponent of its iterations.
    """

    delta_after: bytes
    s: bytes
    sx: bytes
    spx: bytes
    transcript: bytes
    kind: int = PLAIN
    name: str = ""
    iterations: int = 0
    beacon: bytes = b""


def section_bytes(circuit_digest: bytes, contributions: Sequence[Contribution]) -> bytes:
    """Return section 10."""
    return circuit_digest + struct.pack("<I", len(contributions)) + b"".join(map(_record, contributions))


def read_section(body: bytes) -> tuple[bytes, tuple[Contribution, ...]]:
    """Return the circuit's digest and the contributions of section 10.

    Raises:
        KeyMaterialError: it is not what `section_bytes` writes of them.
    """
    reader = _Reader(body)
    digest, count = reader.take(DIGEST_BYTES), reader.number()
    if count > MAX_CONTRIBUTIONS:
        raise KeyMaterialError(f"A key has {count} contributions; up to {MAX_CONTRIBUTIONS} are taken.")
    found = tuple(_read_record(reader) for _ in range(count))
    # Writing it back refuses every other way to say the same, and bytes that say nothing.
    if section_bytes(digest, found) != body:
        raise KeyMaterialError("The contributions of a key are not in their canonical form.")
    return digest, found


def _record(each: Contribution) -> bytes:
    parameters = b""
    if each.name:
        name = each.name.encode()
        parameters += bytes((_NAME, len(name))) + name
    if each.kind == BEACON:
        parameters += bytes((_ITERATIONS, each.iterations, _BEACON, len(each.beacon))) + each.beacon
    points = each.delta_after + each.s + each.sx + each.spx
    return points + each.transcript + struct.pack("<II", each.kind, len(parameters)) + parameters


def _read_record(reader: _Reader) -> Contribution:
    delta_after, s, sx, spx = map(reader.take, _POINTS)
    transcript, kind, length = reader.take(DIGEST_BYTES), reader.number(), reader.number()
    if kind not in (PLAIN, BEACON):
        raise KeyMaterialError("A contribution is of an unknown kind.")
    parameters = _Reader(reader.take(length))
    name, iterations, beacon = "", 0, b""
    while not parameters.done:
        match parameters.take(1)[0]:
            case 1:
                try:
                    name = parameters.take(parameters.take(1)[0]).decode()
                except UnicodeDecodeError:
                    raise KeyMaterialError("The name of a contribution is no UTF-8 text.") from None
            case 2:
                iterations = parameters.take(1)[0]
            case 3:
                beacon = parameters.take(parameters.take(1)[0])
            case _:
                raise KeyMaterialError("A contribution has an unknown parameter.")
    return Contribution(delta_after, s, sx, spx, transcript, kind, name, iterations, beacon)


class _Reader:
    """Takes bytes from the front and refuses to read past the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def done(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise KeyMaterialError("The contributions of a key are cut off.")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self) -> int:
        return int.from_bytes(self.take(4), "little")
