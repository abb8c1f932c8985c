# SPDX-License-Identifier: GPL-3.0-or-later
"""Circuit files: what we write, another implementation reads; what strangers write is taken or refused."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proving_emission import nodes_of
from proving_models import snarkjs
from proving_programs import random_inputs, random_program

from protocol.errors import MalformedCircuitError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.constraints.files import r1cs_bytes, read_r1cs, wtns_bytes
from proving.constraints.system import ConstraintSystem
from proving.sparse import Array, from_rows


def small() -> ConstraintSystem:
    sides = ([{1: 1, 2: -3}, {}], [{2: 1}, {}], [{3: 1}, {0: 7, 1: 1 << 100, 3: -1}])
    return ConstraintSystem(4, 2, *(from_rows(4, side) for side in sides))


def combination(*entries: tuple[int, int]) -> bytes:
    body = b"".join(struct.pack("<I", wire) + value.to_bytes(32, "little") for wire, value in entries)
    return struct.pack("<I", len(entries)) + body


def file_of(
    rows: bytes, wires: int = 4, constraints: int = 1, public: int = 2, prime: int = BN254_SCALAR_ORDER,
    labels: int | None = None,
) -> bytes:  # fmt: skip
    header = struct.pack("<I", 32) + prime.to_bytes(32, "little")
    header += struct.pack("<IIIIQI", wires, public, 0, 0, wires, constraints)
    data = b"r1cs" + struct.pack("<II", 1, 3)
    for kind, body in ((2, rows), (1, header), (3, bytes(8 * (wires if labels is None else labels)))):
        data += struct.pack("<IQ", kind, len(body)) + body
    return data


def test_a_file_comes_back() -> None:
    again = read_r1cs(r1cs_bytes(small()))
    assert (again.wires, again.public) == (4, 2)
    for side in ("a", "b", "c"):
        ours, theirs = getattr(small(), side), getattr(again, side)
        assert [ours.row(row) for row in range(2)] == [theirs.row(row) for row in range(2)]


def test_sections_in_any_order_and_wires_in_any_order_are_read() -> None:
    rows = combination((3, 5), (1, BN254_SCALAR_ORDER - 1)) + combination((0, 1), (2, 0)) + combination()
    system = read_r1cs(file_of(rows))
    assert (system.a.row(0), system.b.row(0), system.c.row(0)) == ({1: -1, 3: 5}, {0: 1}, {})
    assert system.a.indices.tolist() == [1, 3]


@pytest.mark.parametrize("data", [
    b"",
    b"r1cs",
    b"wtns" + r1cs_bytes(small())[4:],
    r1cs_bytes(small()) + b"\0",
    r1cs_bytes(small())[:-1],
    file_of(combination() * 3, prime=BN254_SCALAR_ORDER - 2),
    file_of(combination() * 3, constraints=2),
    file_of(combination() * 4),
    file_of(combination() * 2 + b"\xff\xff\xff\xff"),
    file_of(combination() * 3, constraints=0xFFFFFFFF),
    file_of(combination() * 3, labels=3),
    file_of(combination() * 3, public=4),
    file_of(combination((4, 1)) + combination() * 2),
    file_of(combination((1, 1), (1, 2)) + combination() * 2),
    file_of(combination((1, BN254_SCALAR_ORDER)) + combination() * 2),
    file_of(combination() * 3)[:4] + struct.pack("<I", 2) + file_of(combination() * 3)[8:],
])  # fmt: skip
def test_what_is_no_circuit_file_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedCircuitError):
        read_r1cs(data)


@given(st.data())
@settings(deadline=None)
def test_a_damaged_file_is_another_circuit_or_refused(data: st.DataObject) -> None:
    whole = bytearray(r1cs_bytes(small()))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        system = read_r1cs(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except MalformedCircuitError:
        return
    assert len(r1cs_bytes(system)) <= len(whole)


def snarkjs_says(folder: Path, system: ConstraintSystem, witness: Array) -> dict[str, Any]:
    circuit, wires = folder / "c.r1cs", folder / "w.wtns"
    circuit.write_bytes(r1cs_bytes(system))
    wires.write_bytes(wtns_bytes(witness))
    answer: dict[str, Any] = snarkjs({"r1cs": str(circuit), "wtns": str(wires)})
    return answer


@pytest.mark.parametrize("seed", [1, 5])
def test_snarkjs_reads_the_circuit_as_we_do_and_takes_its_witness(tmp_path: Path, seed: int) -> None:
    nodes = nodes_of(random_program(seed))
    system = nodes.system
    answer = snarkjs_says(tmp_path, system, nodes.witness(random_inputs(nodes.program, random.Random(0))))
    assert answer["satisfied"] is True
    assert (answer["info"]["constraints"], answer["info"]["wires"]) == (system.constraints, system.wires)


def test_snarkjs_refuses_a_changed_witness(tmp_path: Path) -> None:
    nodes = nodes_of(random_program(2))
    witness = nodes.witness(random_inputs(nodes.program, random.Random(0)))
    witness[np.setdiff1d(np.arange(1, len(witness)), nodes.free)[-1], 0] ^= 1
    assert snarkjs_says(tmp_path, nodes.system, witness)["satisfied"] is False
