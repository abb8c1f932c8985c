# SPDX-License-Identifier: GPL-3.0-or-later
"""Proofs: ours verify in snarkjs, and one wrong bit anywhere is refused, here and there."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proving_models import Sample, snarkjs

from protocol.errors import KeyMaterialError, SelfCheckError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.constraints.files import r1cs_bytes, wtns_bytes
from proving.groth16 import engine
from proving.groth16.backend import GROTH16
from proving.groth16.verifying_key import (
    BN254_BASE_ORDER,
    check_words,
    proof_json,
    public_json,
    snarkjs_of,
    words_of,
)
from proving.prover import load, prove, verify
from proving.statement.commitment import Secrets

SNARKJS_CASES = 64
OPENING = Secrets(987654321, 6)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 0x80 >> bit % 8
    return bytes(changed)


def case(proof: bytes, public_inputs: tuple[int, ...]) -> dict[str, object]:
    return {"proof": proof_json(proof), "publicInputs": public_json(public_inputs)}


def flipped_input(inputs: tuple[int, ...], bit: int) -> tuple[int, ...]:
    index, place = divmod(bit, 256)
    return (*inputs[:index], inputs[index] ^ 1 << place, *inputs[index + 1 :])


def test_a_proof_verifies(proved: Sample) -> None:
    assert len(proved.result.proof) == 256
    assert verify(proved.bundle.manifest.words, proved.result.proof, proved.result.public_inputs)


def test_all_single_bit_changes_of_a_proof_are_rejected(proved: Sample) -> None:
    words, result = proved.bundle.manifest.words, proved.result
    accepted = [b for b in range(2048) if verify(words, flipped(result.proof, b), result.public_inputs)]
    assert accepted == []


def test_all_single_bit_changes_of_the_public_inputs_are_rejected(proved: Sample) -> None:
    words, result = proved.bundle.manifest.words, proved.result
    bits = range(256 * len(result.public_inputs))
    accepted = [b for b in bits if verify(words, result.proof, flipped_input(result.public_inputs, b))]
    assert accepted == []


def test_values_that_are_equal_modulo_the_order_are_rejected(proved: Sample) -> None:
    first, *rest = proved.result.public_inputs
    for alias in (first + BN254_SCALAR_ORDER, first - BN254_SCALAR_ORDER):
        assert not verify(proved.bundle.manifest.words, proved.result.proof, (alias, *rest))


def test_snarkjs_agrees_on_the_proof_and_on_64_changed_ones(proved: Sample, tmp_path: Path) -> None:
    result, generator = proved.result, random.Random(64)
    cases = [case(result.proof, result.public_inputs)]
    for _ in range(SNARKJS_CASES // 2):
        cases.append(case(flipped(result.proof, generator.randrange(2048)), result.public_inputs))
        # Below bit 253, or snarkjs would refuse for the size alone.
        place = generator.randrange(len(result.public_inputs)) * 256 + generator.randrange(253)
        cases.append(case(result.proof, flipped_input(result.public_inputs, place)))
    compiled = load(proved.bundle.folder).compiled
    system = compiled.circuit.system
    (tmp_path / "c.r1cs").write_bytes(r1cs_bytes(system))
    (tmp_path / "c.wtns").write_bytes(wtns_bytes(GROTH16.witness(compiled, (1, 2, 3, 4), OPENING, 7)))
    answer = snarkjs({
        "verifyingKey": snarkjs_of(proved.bundle.manifest.words),
        "cases": cases,
        "r1cs": str(tmp_path / "c.r1cs"),
        "wtns": str(tmp_path / "c.wtns"),
    })
    assert answer["verdicts"] == [True] + [False] * SNARKJS_CASES
    assert answer["satisfied"] is True
    assert answer["info"] == {
        "constraints": system.constraints, "wires": system.wires, "outputs": system.public - 1
    }


@given(st.binary(max_size=300), st.lists(st.integers(-(2**260), 2**260), max_size=5))
@settings(max_examples=100, deadline=None)
def test_garbage_is_refused_without_an_exception(proof: bytes, inputs: list[int]) -> None:
    assert verify(list(range(1, 23)), proof, inputs) is False
    assert verify([], proof, inputs) is False


def test_garbage_under_a_real_key_is_refused(proved: Sample) -> None:
    words, result = proved.bundle.manifest.words, proved.result
    for proof in (b"", b"\0" * 256, b"\xff" * 256, result.proof[:-1], result.proof + b"\0"):
        assert not verify(words, proof, result.public_inputs)
    for inputs in ((), result.public_inputs[:-1], (*result.public_inputs, 0)):
        assert not verify(words, result.proof, inputs)


def test_a_key_with_any_changed_word_refuses_the_proof(proved: Sample) -> None:
    words, result = proved.bundle.manifest.words, proved.result
    for index in range(len(words)):
        changed = [*words[:index], words[index] ^ 1, *words[index + 1 :]]
        assert not verify(changed, result.proof, result.public_inputs)


def test_keys_with_points_at_infinity_or_repeated_are_refused(proved: Sample) -> None:
    words = proved.bundle.manifest.words
    for wrong in ((*words[:-2], 0, 0), (*words[:-2], *words[-4:-2]), words[:-1], words[:14]):
        with pytest.raises(KeyMaterialError):
            check_words(wrong)


def test_keys_with_related_points_are_refused(proved: Sample) -> None:
    words = proved.bundle.manifest.words
    for first, second in ((2, 6), (2, 10), (6, 10)):
        point = words[first : first + 4]
        opposite = (*point[:2], *(BN254_BASE_ORDER - y for y in point[2:]))
        for related in (point, opposite):
            with pytest.raises(KeyMaterialError, match="beta, gamma or delta"):
                check_words((*words[:second], *related, *words[second + 4 :]))
    x, y = words[14:16]
    for related in ((x, y), (x, BN254_BASE_ORDER - y)):
        with pytest.raises(KeyMaterialError, match="two public inputs"):
            check_words((*words[:-2], *related))


def test_keys_have_as_many_words_as_the_registry_takes(proved: Sample) -> None:
    head = proved.bundle.manifest.words[:14]

    def key(count: int) -> tuple[int, ...]:
        return (*head, *range(1, count - len(head) + 1))

    for count in (20, 766):
        check_words(key(count))
    for count in (18, 21, 765, 768):
        with pytest.raises(KeyMaterialError, match="number of words"):
            check_words(key(count))


def test_keys_survive_the_round_through_snarkjs_form(proved: Sample) -> None:
    words = proved.bundle.manifest.words
    assert words_of(json.loads(json.dumps(snarkjs_of(words)))) == words


def test_a_false_witness_never_leaves_as_a_proof(proved: Sample) -> None:
    loaded = load(proved.bundle.folder)
    wires = GROTH16.witness(loaded.compiled, (1, 2, 3, 4), OPENING, 7)
    wires[2, 0] ^= 1
    statement = tuple(int.from_bytes(wires[i].tobytes(), "little") for i in (1, 2, 3))
    keys = loaded.bundle.keys
    key = engine.load_zkey(keys.proving_key, keys.proving_key_sha256)
    with pytest.raises(SelfCheckError):
        engine.prove_wtns(key, wtns_bytes(wires), loaded.bundle.manifest.words, statement)


def test_proofs_are_bound_and_randomised(proved: Sample) -> None:
    again = prove(proved.bundle.folder, (1, 2, 3, 4), OPENING, 12345)
    assert again.public_inputs[-1] == 12345
    assert again.proof != proved.result.proof
    assert not verify(proved.bundle.manifest.words, again.proof, (*again.public_inputs[:-1], 12346))


def test_secrets_do_not_show_in_representations() -> None:
    assert "987654321" not in repr(OPENING)
