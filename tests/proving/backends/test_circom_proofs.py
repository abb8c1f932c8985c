# SPDX-License-Identifier: GPL-3.0-or-later
"""Proofs of Circom circuits: what the statement says is what the circuit computes, and opens as any other."""

from __future__ import annotations

from pathlib import Path

import pytest
from proving_circom import BORN_1990, circuit, example, template

pytest.importorskip("wasmtime", reason="the extra `circom` is not installed")

from protocol.errors import InputRangeError, InputShapeError, InputTypeError, ProvingError, SecretError, SelfCheckError
from proving.backends.base import Compiled, KeyPair, ModelSource
from proving.backends.circom import backend
from proving.statement.commitment import commit, commit_group, derive_blinding, order_secrets
from proving.statement.opening import disclose, open_committed, open_public, parse, unseal

ATTESTED = derive_blinding(b"a secret of sixteen bytes", b"date of birth")
SECRETS = order_secrets(b"a secret of sixteen bytes", b"salt", (ATTESTED,))
BINDING = 77
VECTOR = template(
    # The product must be at least -40, or the circuit has no witness.
    "signal input a[2][2]; signal input limit; signal output y[2]; signal s <== a[0][0] * a[1][1];"
    "y[0] <== s - a[0][1]; y[1] <== limit * a[1][0]; component enough = Num2Bits(8); enough.in <== s + 40;",
    public="limit",
    include="bitify.circom",
)
VECTOR_MAP = """
reveal = "REVEAL"
[[input]]
name = "a"
low = -4
bits = 4
shape = [2, 2]
[[input]]
name = "limit"
low = 10
bits = 3
visibility = "public"
[[output]]
name = "y"
low = -2048
bits = 12
shape = [2]
"""
RECORD = [3, 5, -4, 7, 12]
EXPECTED = (3 * 7 - 5, 12 * -4)


@pytest.fixture(scope="module")
def of_age_keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Compiled, KeyPair]:
    return example(), backend().setup(example(), tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def vector_keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Compiled, KeyPair]:
    compiled = backend().compile(_vector("public"))
    return compiled, backend().setup(compiled, tmp_path_factory.mktemp("keys"))


@pytest.mark.parametrize(("born", "answer"), [(1990, 1), (2008, 0), (2007, 1)])
def test_the_example_says_who_is_of_age_and_shows_the_attested_commitment(
    of_age_keys: tuple[Compiled, KeyPair], born: int, answer: int
) -> None:
    compiled, keys = of_age_keys
    record = [born, *BORN_1990[1:]]
    proved = backend().prove(compiled, keys, record, SECRETS, BINDING)
    statement = parse(compiled.circuit.layout, proved.public_inputs)
    assert open_public(statement).integers == (answer,)
    assert statement.public_inputs == (2026, 100)
    attested = compiled.circuit.layout.groups[1]
    assert statement.groups == {1: commit_group(attested.fields, record[:2], ATTESTED)}
    assert statement.commitment == commit((), (), SECRETS.blinding, SECRETS.output_key)
    assert statement.binding == BINDING
    assert len(proved.proof) == 256
    assert backend().verify(keys.verifying_key, proved.proof, proved.public_inputs)
    for place in range(len(proved.public_inputs)):
        other = [word + (index == place) for index, word in enumerate(proved.public_inputs)]
        assert not backend().verify(keys.verifying_key, proved.proof, other)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({0: 1899}, InputRangeError),
        ({0: 2156}, InputRangeError),
        ({1: 1.5}, InputTypeError),
        ({1: True}, InputTypeError),
        ({None: 0}, InputShapeError),
    ],
)
def test_a_record_that_is_none_is_refused(
    of_age_keys: tuple[Compiled, KeyPair], change: dict[int | None, object], error: type[Exception]
) -> None:
    record: list[object] = list(BORN_1990)
    for place, value in change.items():
        if place is None:
            record.append(value)
        else:
            record[place] = value
    with pytest.raises(error):
        backend().prove(*of_age_keys, record, SECRETS, BINDING)  # type: ignore[arg-type]


def test_a_group_without_its_blinding_proves_nothing(of_age_keys: tuple[Compiled, KeyPair]) -> None:
    with pytest.raises(SecretError):
        backend().prove(*of_age_keys, BORN_1990, order_secrets(b"a secret of sixteen bytes", b"salt"), BINDING)


def test_keys_of_another_circuit_prove_nothing(
    of_age_keys: tuple[Compiled, KeyPair], vector_keys: tuple[Compiled, KeyPair]
) -> None:
    keys = vector_keys[1]
    with pytest.raises((ProvingError, SelfCheckError)):
        backend().prove(of_age_keys[0], keys, BORN_1990, SECRETS, BINDING)
    assert not backend().verify(b"short", b"", [])


def test_an_input_that_the_circuit_forbids_gives_no_witness(vector_keys: tuple[Compiled, KeyPair]) -> None:
    with pytest.raises(ProvingError, match="assertion"):
        backend().prove(*vector_keys, [-4, 0, 0, 11, 12], SECRETS, BINDING)


@pytest.mark.parametrize("reveal", ["public", "sealed", "committed"])
def test_every_way_to_reveal_opens_to_what_the_circuit_computes(reveal: str, tmp_path: Path) -> None:
    compiled = backend().compile(_vector(reveal))
    keys = backend().setup(compiled, tmp_path)
    proved = backend().prove(compiled, keys, RECORD, SECRETS, BINDING)
    statement = parse(compiled.circuit.layout, proved.public_inputs)
    assert statement.public_inputs == (12,)
    if reveal == "public":
        opened = open_public(statement)
    elif reveal == "sealed":
        opened = unseal(statement, disclose(compiled.circuit.layout, RECORD, SECRETS))
    else:
        opened = open_committed(statement, EXPECTED, SECRETS.output)
    assert opened.integers == EXPECTED


def _vector(reveal: str) -> ModelSource:
    return circuit(VECTOR, VECTOR_MAP.replace("REVEAL", reveal))
