# SPDX-License-Identifier: GPL-3.0-or-later
"""Ceremonies: files and hashes are snarkjs', both sides take turns, and a forged step is refused."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest
from proving_systems import Sample, sample, snarkjs_run

from protocol.errors import AuditError, KeyMaterialError
from proving.constraints.files import r1cs_bytes
from proving.groth16 import ceremony, engine
from proving.groth16.chacha import hash_to_g2
from proving.groth16.contribution import Contribution
from proving.groth16.curve import G1, G2, raw_g1, raw_g2
from proving.groth16.dev_setup import DevPhase1, dev_keys
from proving.groth16.initial_key import initial_key
from proving.groth16.key_audit import audit_key
from proving.groth16.ptau import dev_ptau, read_ptau
from proving.groth16.verifying_key import check_words, dev_setup_id, words_of
from proving.groth16.zkey import ZKey, read_zkey, verifying_words, write_zkey, zkey_bytes

BEACON = bytes(range(32))
POWER = 6


@dataclasses.dataclass(frozen=True)
class Held:
    """A ceremony: ours, then snarkjs', then our beacon."""

    folder: Path
    made: Sample
    theirs: list[object]
    ours: list[bytes]
    transcript: ceremony.Transcript
    words: tuple[int, ...]

    def file(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Held:
    folder, made = tmp_path_factory.mktemp("ceremony"), sample(bits=30, public=3)
    assert made.system.domain == 1 << POWER
    dev_ptau(POWER, folder / "p.ptau")
    (folder / "c.r1cs").write_bytes(r1cs_bytes(made.system))
    (folder / "c.wtns").write_bytes(made.wtns)
    ours = [ceremony.start(made.system, folder / "p.ptau", folder / "0.zkey")]
    ours.append(ceremony.contribute(folder / "0.zkey", folder / "1.zkey", b"dice", "Ada"))
    names = [str(folder / each) for each in ("c.r1cs", "p.ptau", "0-theirs.zkey", "1.zkey", "2.zkey", "3-theirs.zkey")]
    r1cs, ptau, zero, one, two, three = names
    theirs = snarkjs_run(
        ["zKey", "newZKey", r1cs, ptau, zero],
        ["zKey", "contribute", one, two, "Grace", "coins"],
        ["zKey", "beacon", two, three, "beacon", BEACON.hex(), 10],
    )
    keys = ceremony.finish(folder / "2.zkey", folder / "3.zkey", BEACON, 10)
    transcript = ceremony.verify(made.system, folder / "p.ptau", folder / "3.zkey")
    assert not keys.dev
    return Held(folder, made, theirs, ours, transcript, keys.verifying_key)


def test_the_first_key_is_snarkjs_byte_for_byte(held: Held) -> None:
    ours, theirs = read_zkey(held.file("0.zkey")), read_zkey(held.file("0-theirs.zkey"))
    assert zkey_bytes(ours) == zkey_bytes(theirs)
    assert held.theirs[0] == held.ours[0].hex() == held.transcript.circuit_digest.hex()


def test_the_beacon_is_snarkjs_byte_for_byte(held: Held) -> None:
    assert zkey_bytes(read_zkey(held.file("3.zkey"))) == zkey_bytes(read_zkey(held.file("3-theirs.zkey")))


def test_the_transcript_has_the_hashes_that_the_makers_saw(held: Held) -> None:
    assert [step.name for step in held.transcript.steps] == ["Ada", "Grace", "beacon"]
    digests = [step.digest.hex() for step in held.transcript.steps]
    assert digests == [held.ours[1].hex(), *held.theirs[1:]]
    assert held.transcript.steps[-1].beacon == BEACON
    other = dataclasses.replace(held.transcript, steps=held.transcript.steps[:-1])
    assert len(held.transcript.digest) == 32
    assert held.transcript.digest != other.digest


def test_snarkjs_verifies_and_proves_with_the_final_key(held: Held) -> None:
    final = str(held.file("3.zkey"))
    verified, exported, proved = snarkjs_run(
        ["zKey", "verifyFromR1cs", str(held.file("c.r1cs")), str(held.file("p.ptau")), final],
        ["zKey", "exportVerificationKey", final],
        ["groth16", "prove", final, str(held.file("c.wtns"))],
    )
    assert verified is True
    assert words_of(exported) == held.words
    assert proved["publicSignals"] == [str(value) for value in held.made.public_inputs]
    digest = hashlib.sha256(held.file("3.zkey").read_bytes()).hexdigest()
    key = engine.load_zkey(held.file("3.zkey"), digest)
    proof = engine.prove_wtns(key, held.made.wtns, held.words, held.made.public_inputs)
    assert engine.verify(held.words, proof, held.made.public_inputs)
    check_words(held.words)


def test_programs_of_one_phase_1_share_their_set_up_id(held: Held, tmp_path: Path) -> None:
    other = sample(bits=28, public=2, seed=5)
    ceremony.start(other.system, held.file("p.ptau"), tmp_path / "0")
    ceremony.contribute(tmp_path / "0", tmp_path / "1", b"x", "")
    keys = ceremony.finish(tmp_path / "1", tmp_path / "2", BEACON, 10)
    again = ceremony.finish(held.file("2.zkey"), tmp_path / "3", BEACON, 10)
    assert keys.setup_id == again.setup_id
    # Even over the same points a ceremony is not taken for a development set-up.
    assert keys.setup_id != dev_setup_id(keys.verifying_key)


def test_an_unprepared_file_gives_the_same_key(held: Held) -> None:
    ptau = read_ptau(held.file("p.ptau"))
    bare = dataclasses.replace(ptau, lagrange_bases={})
    assert zkey_bytes(initial_key(held.made.system, bare)) == zkey_bytes(initial_key(held.made.system, ptau))


def test_a_falsely_prepared_file_is_refused(held: Held) -> None:
    ptau = read_ptau(held.file("p.ptau"))
    for section, points in ptau.lagrange_bases.items():
        changed = points.copy()
        changed[[-1, -2]] = changed[[-2, -1]]
        changed[[(1 << POWER), (1 << POWER) + 1]] = changed[[(1 << POWER) + 1, (1 << POWER)]]
        bases = {**ptau.lagrange_bases, section: changed}
        with pytest.raises(KeyMaterialError, match="prepared part"):
            initial_key(held.made.system, dataclasses.replace(ptau, lagrange_bases=bases))


def test_a_development_key_is_what_a_ceremony_with_its_delta_makes(held: Held, tmp_path: Path) -> None:
    """Its points pass `snarkjs zkey verify`, once section 10 names the public factor as a contribution."""
    circuit_hash = b"\5" * 32
    dev = read_zkey(dev_keys(held.made.system, circuit_hash, tmp_path / "dev.zkey").proving_key)
    delta = DevPhase1().secrets(circuit_hash).delta
    record = Contribution(b"", b"", b"", b"", b"", name="dev")
    ceremony._apply(held.file("0.zkey"), tmp_path / "1.zkey", delta, G1 * 3, record)
    made = read_zkey(tmp_path / "1.zkey")
    for field in ("ic", "coefficients", "a", "b1", "b2", "c"):
        assert getattr(made, field).tobytes() == getattr(dev, field).tobytes()
    with_record = dataclasses.replace(dev, circuit_digest=made.circuit_digest, contributions=made.contributions)
    write_zkey(with_record, tmp_path / "recorded.zkey")
    (verified,) = snarkjs_run(
        ["zKey", "verifyFromR1cs", str(held.file("c.r1cs")), str(held.file("p.ptau")), str(tmp_path / "recorded.zkey")]
    )
    assert verified is True


def test_forged_steps_are_refused(held: Held) -> None:
    key = read_zkey(held.file("3.zkey"))
    first, second, last = key.contributions

    def changed(step: Contribution, **fields: Any) -> Contribution:
        return dataclasses.replace(step, **fields)

    def refused(said: str, *steps: Contribution) -> None:
        with pytest.raises(KeyMaterialError, match=said):
            ceremony.check_contributions(dataclasses.replace(key, contributions=steps))

    some_g1, some_g2 = raw_g1(G1 * 9), raw_g2(G2 * 9)
    refused("product", first, second)
    refused("product")
    refused("Contribution 1 does not follow", second, first, last)
    refused("Contribution 2 does not follow", first, last)
    for field, value in (("s", some_g1), ("sx", some_g1), ("transcript", bytes(64))):
        refused("2 does not", first, changed(second, **{field: value}), last)
    for field, value in (("spx", some_g2), ("delta_after", some_g1), ("delta_after", bytes(64)), ("spx", bytes(128))):
        refused("2 lacks", first, changed(second, **{field: value}), last)
    for other in (changed(last, beacon=bytes(32)), changed(last, iterations=11)):
        refused("3 is not what its beacon gives", first, second, other)
    refused("iterations", first, second, changed(last, iterations=63))


def test_a_contribution_that_changes_the_circuit_is_refused(held: Held, tmp_path: Path) -> None:
    key = read_zkey(held.file("3.zkey"))

    def refused(said: str, changed: ZKey) -> None:
        write_zkey(changed, tmp_path / "changed.zkey")
        with pytest.raises(AuditError, match=said):
            ceremony.verify(held.made.system, held.file("p.ptau"), tmp_path / "changed.zkey")

    refused("another circuit", dataclasses.replace(key, circuit_digest=bytes(64)))
    refused("product", dataclasses.replace(key, contributions=key.contributions[:-1]))
    swapped = key.a.copy()
    swapped[[5, 6]] = swapped[[6, 5]]
    refused("section a", dataclasses.replace(key, a=swapped))
    for field in ("c", "h"):
        earlier: Any = {field: getattr(read_zkey(held.file("2.zkey")), field)}
        refused(f"of {field.upper()}", dataclasses.replace(key, **earlier))


def test_a_ceremony_without_people_is_refused(held: Held, tmp_path: Path) -> None:
    with pytest.raises(KeyMaterialError, match="Nobody"):
        ceremony.finish(held.file("0.zkey"), tmp_path / "1.zkey", BEACON, 10)
    ceremony.beacon(held.file("0.zkey"), tmp_path / "1.zkey", BEACON, 10)
    with pytest.raises(AuditError, match="Nobody"):
        ceremony.verify(held.made.system, held.file("p.ptau"), tmp_path / "1.zkey")


def test_the_final_key_passes_the_audit_of_a_node(held: Held) -> None:
    key = read_zkey(held.file("3.zkey"))
    audit_key(held.made.system, held.file("3.zkey"), read_ptau(held.file("p.ptau")), verifying_words(key))
    assert ceremony.check_contributions(key) == held.transcript


def test_bad_parameters_are_refused(held: Held, tmp_path: Path) -> None:
    one = held.file("1.zkey")
    for iterations, randomness in ((9, BEACON), (25, BEACON), (10, b""), (10, bytes(256))):
        with pytest.raises(KeyMaterialError, match="beacon"):
            ceremony.beacon(one, tmp_path / "x", randomness, iterations)
    for entropy, name in ((b"", "Ada"), (b"x", "A" * 65)):
        with pytest.raises(KeyMaterialError):
            ceremony.contribute(one, tmp_path / "x", entropy, name)
    large = sample(bits=200)
    with pytest.raises(KeyMaterialError, match="powers of tau"):
        ceremony.start(large.system, held.file("p.ptau"), tmp_path / "x")


def test_hashing_to_g2_stays_in_the_subgroup() -> None:
    points = {hash_to_g2(hashlib.blake2b(bytes((index,))).digest()).to_hex() for index in range(8)}
    assert len(points) == 8  # each was checked by zksnake as it was made


@pytest.mark.slow
def test_powers_of_tau_made_by_snarkjs(tmp_path: Path) -> None:
    """A whole ceremony in miniature: phase 1 by snarkjs, phase 2 here, judged by both."""
    made = sample(bits=30, public=3, seed=2)
    (tmp_path / "c.r1cs").write_bytes(r1cs_bytes(made.system))
    paths = [str(tmp_path / f"{index}.ptau") for index in range(4)]
    results = snarkjs_run(
        ["powersOfTau", "newAccumulator", ["curve", "bn128"], POWER + 1, paths[0]],
        ["powersOfTau", "contribute", paths[0], paths[1], "Ada", "dice"],
        ["powersOfTau", "beacon", paths[1], paths[2], "beacon", BEACON.hex(), 10],
        ["powersOfTau", "preparePhase2", paths[2], paths[3]],
        ["powersOfTau", "verify", paths[3]],
    )
    assert results[-1] is True, results
    prepared = tmp_path / "3.ptau"
    ceremony.start(made.system, prepared, tmp_path / "0.zkey")
    ceremony.start(made.system, tmp_path / "2.ptau", tmp_path / "0-bare.zkey")
    assert (tmp_path / "0.zkey").read_bytes() == (tmp_path / "0-bare.zkey").read_bytes()
    ceremony.contribute(tmp_path / "0.zkey", tmp_path / "1.zkey", b"dice", "Ada")
    ceremony.finish(tmp_path / "1.zkey", tmp_path / "2.zkey", BEACON, 10)
    ceremony.verify(made.system, prepared, tmp_path / "2.zkey")
    (verified,) = snarkjs_run(
        ["zKey", "verifyFromR1cs", str(tmp_path / "c.r1cs"), str(prepared), str(tmp_path / "2.zkey")]
    )
    assert verified is True
