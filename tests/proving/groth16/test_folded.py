# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights folded into a verifying key, and the registration that keeps outputs out of it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from anvil import anvil
from proving_systems import Sample, sample, snarkjs_run

from contracts import bindings
from contracts.abi import call_data
from contracts.rpc import Rpc
from protocol.errors import ContractRefusal, KeyMaterialError, SecretError
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.groth16 import engine
from proving.groth16.curve import G1, G2, point_g1, raw_g1, raw_g2, raw_of_words, words_g1, words_g2
from proving.groth16.dev_setup import dev_keys
from proving.groth16.fixed_base import multiples_g1
from proving.groth16.folded import Commitment, FoldedWires, fold, model_key, weight_blinding
from proving.groth16.keys import Keys
from proving.groth16.registration import Registrar, prove_registration, verify_registration
from proving.groth16.verifying_key import HEAD_WORDS, check_words, proof_json, public_json, snarkjs_of

STATEMENT, WEIGHTS = 3, 8
WIRES = FoldedWires(STATEMENT, WEIGHTS)
REGISTRAR = Registrar(b"\1" * 20, 31337, b"\2" * 20)
SECRET = b"a publisher's secret"


@dataclasses.dataclass(frozen=True)
class Model:
    """An architecture with one owner's weights and a proof under them."""

    made: Sample
    keys: Keys
    weights: tuple[int, ...]
    blinding: int
    words: tuple[int, ...]
    commitment: Commitment
    proof: bytes

    @property
    def statement(self) -> tuple[int, ...]:
        return self.made.public_inputs[:STATEMENT]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    made = sample(bits=10, public=STATEMENT, weights=WEIGHTS)
    keys = dev_keys(made.system, bytes(32), tmp_path_factory.mktemp("folded") / "k.zkey")
    *weights, blinding = made.public_inputs[STATEMENT:]
    words, commitment = fold(keys.verifying_key, weights, blinding, WIRES)
    key = engine.load_zkey(keys.proving_key, hashlib.sha256(keys.proving_key.read_bytes()).hexdigest())
    proof = engine.prove_wtns(key, made.wtns, words, made.public_inputs[:STATEMENT])
    return Model(made, keys, tuple(weights), blinding, words, commitment, proof)


@pytest.fixture(scope="module")
def registered(model: Model) -> bytes:
    return prove_registration(model.keys.verifying_key, WIRES, model.weights, model.blinding, REGISTRAR)


def test_the_models_key_is_an_ordinary_key(model: Model) -> None:
    check_words(model.words)
    assert len(model.words) == HEAD_WORDS + 2 * (STATEMENT + 1)
    assert engine.verify(model.words, model.proof, model.statement)
    # The proof is the architecture's proof too, with weights and blinding as its inputs.
    assert engine.verify(model.keys.verifying_key, model.proof, model.made.public_inputs)
    (holds,) = snarkjs_run(
        ["groth16", "verify", snarkjs_of(model.words), public_json(model.statement), proof_json(model.proof)]
    )
    assert holds is True


def test_a_proof_under_other_weights_is_refused(model: Model) -> None:
    for index in range(WEIGHTS):
        other = [weight + (place == index) for place, weight in enumerate(model.weights)]
        words, _ = fold(model.keys.verifying_key, other, model.blinding, WIRES)
        assert not engine.verify(words, model.proof, model.statement)
    words, _ = fold(model.keys.verifying_key, model.weights, model.blinding + 1, WIRES)
    assert not engine.verify(words, model.proof, model.statement)


def test_signed_weights_are_their_residues(model: Model) -> None:
    signed = [weight - R if weight > R // 2 else weight for weight in model.weights]
    assert min(signed) < 0
    assert fold(model.keys.verifying_key, signed, model.blinding, WIRES)[1] == model.commitment


def test_the_commitment_alone_makes_the_key(model: Model) -> None:
    assert model_key(model.keys.verifying_key, model.commitment, WIRES) == model.words


def test_a_registration_holds_where_it_was_made(model: Model, registered: bytes) -> None:
    assert len(registered) == 32 * (WEIGHTS + 2)
    assert verify_registration(model.keys.verifying_key, WIRES, model.commitment, REGISTRAR, registered)


@pytest.mark.parametrize("change", [{"publisher": b"\3" * 20}, {"chain_id": 1}, {"registry": b"\3" * 20}])
def test_a_registration_is_not_replayed(change: dict[str, object], model: Model, registered: bytes) -> None:
    elsewhere = dataclasses.replace(REGISTRAR, **change)  # type: ignore[arg-type]
    assert not verify_registration(model.keys.verifying_key, WIRES, model.commitment, elsewhere, registered)


def test_a_registration_is_for_one_architecture_and_one_model(
    model: Model, registered: bytes, tmp_path: Path
) -> None:
    other_keys = dev_keys(model.made.system, b"\1" * 32, tmp_path / "k.zkey")
    assert not verify_registration(other_keys.verifying_key, WIRES, model.commitment, REGISTRAR, registered)
    _, other = fold(model.keys.verifying_key, model.weights, model.blinding + 1, WIRES)
    assert not verify_registration(model.keys.verifying_key, WIRES, other, REGISTRAR, registered)


def shifted(model: Model, wire: int, by: int) -> Commitment:
    """The commitment plus a multiple of the point of a public wire that is no weight."""
    at = HEAD_WORDS + 2 * wire
    point = point_g1(raw_of_words(model.keys.verifying_key[at : at + 2]))
    total = point_g1(raw_of_words(model.commitment)) + point * by
    return total.x, total.y


def test_an_output_cannot_be_shifted_through_the_commitment(model: Model, registered: bytes) -> None:
    """What registration is for: under a shifted key the honest circuit proves a false output."""
    shift = 1000
    commitment = shifted(model, 1, shift)
    words = model_key(model.keys.verifying_key, commitment, WIRES)
    false = ((model.statement[0] - shift) % R, *model.statement[1:])
    assert engine.verify(words, model.proof, false)
    assert not verify_registration(model.keys.verifying_key, WIRES, commitment, REGISTRAR, registered)
    # The shifter knows a representation, but one that names the output's point: as wires of a wider index set.
    wider = FoldedWires(STATEMENT - 1, WEIGHTS + 1)
    proof = prove_registration(
        model.keys.verifying_key, wider, (*model.statement[-1:], *model.weights), model.blinding, REGISTRAR
    )
    _, wide = fold(model.keys.verifying_key, (*model.statement[-1:], *model.weights), model.blinding, wider)
    assert verify_registration(model.keys.verifying_key, wider, wide, REGISTRAR, proof)
    # The circuit fixes the wires, so it does not pass for a registration of this architecture.
    assert not verify_registration(model.keys.verifying_key, WIRES, wide, REGISTRAR, proof)


def test_changed_registrations_are_refused(model: Model, registered: bytes) -> None:
    def holds(proof: bytes) -> bool:
        return verify_registration(model.keys.verifying_key, WIRES, model.commitment, REGISTRAR, proof)

    for at in range(0, len(registered), 7):
        assert not holds(registered[:at] + bytes((registered[at] ^ 1,)) + registered[at + 1 :])
    first = int.from_bytes(registered[32:64], "little")
    assert not holds(registered[:32] + (first + R).to_bytes(32, "little") + registered[64:])
    for garbage in (b"", bytes(len(registered)), registered[:-32], registered + bytes(32)):
        assert not holds(garbage)


def test_false_commitments_are_refused(model: Model, registered: bytes) -> None:
    x, y = model.commitment
    for commitment in ((0, 0), (x, y + 1), (x, -y), (x + (1 << 256), y), (1 << 300, 1)):
        assert not verify_registration(model.keys.verifying_key, WIRES, commitment, REGISTRAR, registered)


def test_keys_unfit_for_folding_are_refused(model: Model) -> None:
    words = model.keys.verifying_key

    def refused(wrong: tuple[int, ...], said: str, wires: FoldedWires = WIRES) -> None:
        with pytest.raises(KeyMaterialError, match=said):
            fold(wrong, model.weights, model.blinding, wires)

    refused(words[:-2], "number of public inputs")
    refused(words, "number of public inputs", FoldedWires(STATEMENT, WEIGHTS - 1))
    refused((*words[:-2], 0, 0), "infinity")
    refused((*words[:-2], *words[16:18]), "repeats")
    gamma_of_beta = (*words[:6], *words[10:14], *words[10:])
    refused(gamma_of_beta, "gamma")
    refused((*words[:6], words[6] + 1, *words[7:]), "gamma is not the generator")
    refused((*words[:-1], words[-1] ^ 1), "not on the curve")
    with pytest.raises(KeyMaterialError):
        fold(words, model.weights[:-1], model.blinding, WIRES)
    for statement, weights in ((1, 5), (3, 0)):
        with pytest.raises(KeyMaterialError):
            FoldedWires(statement, weights)


def test_blindings_are_drawn_from_the_secret_and_the_model(model: Model) -> None:
    words = model.keys.verifying_key
    first = weight_blinding(SECRET, words, model.weights)
    assert first == weight_blinding(SECRET, words, model.weights)
    others = {
        weight_blinding(SECRET + b"!", words, model.weights),
        weight_blinding(SECRET, words, (*model.weights[:-1], 1)),
        weight_blinding(SECRET, (*words[:-1], 1), model.weights),
    }
    assert len(others | {first}) == 4
    with pytest.raises(SecretError):
        weight_blinding(b"short", words, model.weights)


def test_thousands_of_weights_are_folded_and_registered() -> None:
    """6,570 weights: the 64-64-32-10 network."""
    count = 6570
    wires = FoldedWires(STATEMENT, count)
    scalars = [pow(5, index + 9, R) for index in range(wires.public + 1)]
    points = [words_g1(row.tobytes()) for row in multiples_g1(scalars)]
    head = sample_head()
    key = (*head, *(word for point in points for word in point))
    weights = [index % 255 - 127 for index in range(count)]
    blinding = weight_blinding(SECRET, key, weights)
    _, commitment = fold(key, weights, blinding, wires)
    proof = prove_registration(key, wires, weights, blinding, REGISTRAR)
    assert verify_registration(key, wires, commitment, REGISTRAR, proof)
    expected = G1 * (sum(w * s for w, s in zip([*weights, blinding], scalars[STATEMENT + 1 :], strict=True)) % R)
    assert commitment == (expected.x, expected.y)


def sample_head() -> tuple[int, ...]:
    """alpha, beta, gamma, delta of some set-up."""
    second = [words_g2(raw_g2(G2 * each)) for each in (11, 1, 13)]
    return (*words_g1(raw_g1(G1 * 7)), *(word for point in second for word in point))


@pytest.fixture(scope="module")
def chain() -> Iterator[tuple[Rpc, str]]:
    """A chain with the Groth16Verifier and its address."""
    with anvil() as url, Rpc(url) as rpc:
        (account,) = rpc.call("eth_accounts")
        sent = rpc.call("eth_sendTransaction", {"from": account, "data": "0x" + bindings.deploy_verifier().hex()})
        yield rpc, rpc.receipt(sent)["contractAddress"]


def test_the_contract_takes_the_models_key(model: Model, chain: tuple[Rpc, str]) -> None:
    rpc, verifier = chain

    def call(data: bytes) -> object:
        return rpc.call("eth_call", {"to": verifier, "data": "0x" + data.hex()}, "latest")

    assert call(call_data("Groth16Verifier", "requireSoundKey", list(model.words))) == "0x"
    assert call(bindings.verify(model.words, model.statement, model.proof)) == "0x"
    false = ((model.statement[0] + 1) % R, *model.statement[1:])
    with pytest.raises(ContractRefusal):
        call(bindings.verify(model.words, false, model.proof))
