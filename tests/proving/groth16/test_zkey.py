# SPDX-License-Identifier: GPL-3.0-or-later
"""Development keys as .zkey files: ours, snarkjs and the engine read the same key, and damage is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from proving_systems import Sample, sample, snarkjs_run, wtns_of

from protocol.errors import KeyMaterialError, ProvingError, SelfCheckError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.constraints.files import r1cs_bytes
from proving.constraints.system import ConstraintSystem
from proving.groth16 import engine
from proving.groth16.contribution import BEACON, Contribution
from proving.groth16.dev_setup import dev_keys
from proving.groth16.keys import Keys
from proving.groth16.verifying_key import proof_json, public_json, snarkjs_of, words_of
from proving.groth16.zkey import read_zkey, verifying_words, zkey_bytes
from proving.sparse import from_rows

CIRCUIT_HASH = bytes(range(32))


@pytest.fixture(scope="module")
def made() -> Sample:
    return sample(bits=20, public=3)


@pytest.fixture(scope="module")
def keys(made: Sample, tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return dev_keys(made.system, CIRCUIT_HASH, tmp_path_factory.mktemp("keys") / "k.zkey")


def digest(keys: Keys) -> str:
    return hashlib.sha256(keys.proving_key.read_bytes()).hexdigest()


def test_a_key_is_a_function_of_seed_and_circuit(made: Sample, keys: Keys, tmp_path: Path) -> None:
    again = dev_keys(made.system, CIRCUIT_HASH, tmp_path / "again.zkey")
    assert again.proving_key.read_bytes() == keys.proving_key.read_bytes()
    other = dev_keys(made.system, bytes(32), tmp_path / "other.zkey")
    assert other.setup_id == again.setup_id and other.verifying_key[:10] == again.verifying_key[:10]
    assert other.verifying_key[10:14] != again.verifying_key[10:14]
    seeded = dev_keys(made.system, CIRCUIT_HASH, tmp_path / "seeded.zkey", b"another network")
    assert seeded.setup_id != again.setup_id


def test_the_engine_proves_with_it_and_refuses_a_false_witness(made: Sample, keys: Keys) -> None:
    key = engine.load_zkey(keys.proving_key, digest(keys))
    proof = engine.prove_wtns(key, made.wtns, keys.verifying_key, made.public_inputs)
    assert engine.verify(keys.verifying_key, proof, made.public_inputs)
    assert proof != engine.prove_wtns(key, made.wtns, keys.verifying_key, made.public_inputs)
    false = list(made.wires)
    false[1] += 1
    with pytest.raises(SelfCheckError):
        engine.prove_wtns(key, wtns_of(tuple(false)), keys.verifying_key, tuple(false[1:4]))


def test_a_witness_of_another_circuit_is_refused(made: Sample, keys: Keys) -> None:
    key = engine.load_zkey(keys.proving_key, digest(keys))
    for wires in ((), (1,), made.wires[:-1], (2, *made.wires[1:])):
        with pytest.raises(ProvingError):
            engine.prove_wtns(key, wtns_of(wires), keys.verifying_key, made.public_inputs)
    with pytest.raises(ProvingError):
        engine.prove_wtns(key, b"", keys.verifying_key, made.public_inputs)


def test_the_engine_takes_only_the_audited_file(keys: Keys) -> None:
    with pytest.raises(KeyMaterialError, match="as audited"):
        engine.load_zkey(keys.proving_key, "0" * 64)


def test_snarkjs_proves_with_it_and_both_verify_both(made: Sample, keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "c.wtns").write_bytes(made.wtns)
    (tmp_path / "c.r1cs").write_bytes(r1cs_bytes(made.system))
    ours = engine.prove_wtns(
        engine.load_zkey(keys.proving_key, digest(keys)), made.wtns, keys.verifying_key, made.public_inputs
    )
    public, verifying_key = public_json(made.public_inputs), snarkjs_of(keys.verifying_key)
    satisfied, holds, theirs, exported = snarkjs_run(
        ["wtns", "check", str(tmp_path / "c.r1cs"), str(tmp_path / "c.wtns")],
        ["groth16", "verify", verifying_key, public, proof_json(ours)],
        ["groth16", "prove", str(keys.proving_key), str(tmp_path / "c.wtns")],
        ["zKey", "exportVerificationKey", str(keys.proving_key)],
    )
    assert satisfied is True and holds is True
    assert theirs["publicSignals"] == public
    assert words_of(exported) == keys.verifying_key
    proof = _proof_bytes(theirs["proof"])
    assert engine.verify(keys.verifying_key, proof, made.public_inputs)


def _proof_bytes(proof: dict[str, list[object]]) -> bytes:
    a, b, c = proof["pi_a"], proof["pi_b"], proof["pi_c"]
    words = [a[0], a[1], b[0][1], b[0][0], b[1][1], b[1][0], c[0], c[1]]  # type: ignore[index]
    return b"".join(int(str(word)).to_bytes(32, "big") for word in words)


def test_a_key_survives_reading_and_writing(keys: Keys, tmp_path: Path) -> None:
    key = read_zkey(keys.proving_key)
    assert zkey_bytes(key) == keys.proving_key.read_bytes()
    assert verifying_words(key) == keys.verifying_key
    points = (bytes(64), b"\1" * 64, b"\2" * 64, b"\3" * 128)
    named = dataclasses.replace(key, contributions=(
        Contribution(*points, b"\4" * 64, name="ä name"),
        Contribution(*points, b"\5" * 64, BEACON, "", 10, b"\6" * 32),
    ))
    (tmp_path / "named.zkey").write_bytes(zkey_bytes(named))
    assert read_zkey(tmp_path / "named.zkey").contributions == named.contributions


def test_damaged_files_are_refused(keys: Keys, tmp_path: Path) -> None:
    data, path = keys.proving_key.read_bytes(), tmp_path / "damaged.zkey"

    def refused(damaged: bytes) -> None:
        path.write_bytes(damaged)
        with pytest.raises(KeyMaterialError):
            read_zkey(path)

    sections = {}
    at = 12
    for _ in range(10):
        kind, size = struct.unpack_from("<IQ", data, at)
        sections[kind] = (at, size)
        at += 12 + size
    for end in (*range(0, 200, 7), *(start for start, _ in sections.values()), len(data) - 1):
        refused(data[:end])
    refused(data + b"\0")
    refused(b"zkez" + data[4:])
    refused(data[:4] + struct.pack("<I", 2) + data[8:])
    for kind, (start, size) in sections.items():
        # missing, twice, renamed, one byte longer, size beyond the file
        end = start + 12 + size
        count = struct.pack("<I", 9)
        refused(data[:8] + count + data[12:start] + data[end:])
        refused(data[:8] + struct.pack("<I", 11) + data[12:] + data[start:end])
        refused(data[:start] + struct.pack("<I", 11) + data[start + 4 :])
        refused(data[: start + 4] + struct.pack("<Q", size + 1) + data[start + 12 : end] + b"\0" + data[end:])
        refused(data[: start + 4] + struct.pack("<Q", 1 << 62) + data[start + 12 :])
        assert kind
    header = sections[2][0] + 12
    for offset in (0, 4, 36, 40, 72, 76, 80):
        refused(data[: header + offset] + b"\xff\xff" + data[header + offset + 2 :])


def test_limits_are_kept(keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(KeyMaterialError, match="bytes"):
        read_zkey(keys.proving_key, limit=1000)
    with pytest.raises(KeyMaterialError):
        read_zkey(tmp_path / "missing.zkey")
    (tmp_path / "empty.zkey").write_bytes(b"")
    with pytest.raises(KeyMaterialError):
        read_zkey(tmp_path / "empty.zkey")


def test_coefficients_beyond_a_word_make_the_same_key_as_their_residues(tmp_path: Path) -> None:
    big = BN254_SCALAR_ORDER - 5
    rows = [{1: 1, 3: -5}, {2: 1, 3: 1 << 40}]
    other = [{1: 1, 3: big}, {2: 1, 3: 1 << 40}]
    b, c = from_rows(4, [{3: 1}, {3: 1}]), from_rows(4, [{3: 1}, {1: 3, 2: 7}])
    files = []
    for name, a in (("x", rows), ("y", other)):
        keys = dev_keys(ConstraintSystem(4, 2, from_rows(4, a), b, c), bytes(32), tmp_path / name)
        files.append(np.fromfile(keys.proving_key, np.uint8))
    assert (files[0] == files[1]).all()
