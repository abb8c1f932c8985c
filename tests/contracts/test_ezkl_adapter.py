# SPDX-License-Identifier: GPL-3.0-or-later
"""A real proof of EZKL, through its own verifiers and the adapter, is paid by the Escrow from its lock.

Needs EZKL in this Python, in the one that PROOFMESH_EZKL_PYTHON names, or in the benchmark's environment.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
from escrow_market import ETHER, Market, account, market
from eth_abi.abi import encode
from ezkl_model import BENCHMARK, model_bytes

from benchmarks.proving.verifier_gas import compile_verifier
from contracts import bindings
from contracts.records import Status
from contracts.toolchain import CHECKOUT
from protocol.errors import ProofRefusal, StateRefusal
from protocol.hashing import keccak256
from protocol.statement import external_program_id
from proving.backends.ezkl import PYTHON_VARIABLE

SCRIPT = CHECKOUT / "tests" / "support" / "ezkl_proof.py"
SECONDS = 900
CLIENT, PROVER, RIVAL = map(account, ("client", "prover", "rival"))


@dataclass(frozen=True)
class EzklProof:
    """The proof, its instances (the hash of the input, then the outputs), and what verifies it."""

    proof: bytes
    instances: tuple[int, ...]
    whole: str
    reusable: str
    key: tuple[int, ...]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EzklProof:
    python = _python()
    if python is None:
        pytest.skip("EZKL is not installed; `make test-ezkl` installs it")
    folder = tmp_path_factory.mktemp("ezkl")
    (folder / "model.onnx").write_bytes(model_bytes())
    for name in ("calibration", "input"):
        (folder / f"{name}.json").write_text(json.dumps({"input_data": [[1.0, -2.0, 3.0, 6.25]]}))
    subprocess.run([python, "-P", str(SCRIPT), str(folder)], check=True, capture_output=True, timeout=SECONDS)
    written = json.loads((folder / "proof.json").read_text())
    packed = (folder / "vka.bin").read_bytes()[8:]  # the first eight bytes count the words
    return EzklProof(
        bytes.fromhex(written["hex_proof"].removeprefix("0x")),
        tuple(int.from_bytes(bytes.fromhex(each), "little") for each in written["instances"][0]),
        compile_verifier((folder / "whole.sol").read_text()),
        compile_verifier((folder / "reusable.sol").read_text()),
        tuple(int.from_bytes(packed[at : at + 32]) for at in range(0, len(packed), 32)),
    )


@pytest.mark.slow
@pytest.mark.parametrize("reusable", [False, True], ids=["whole", "reusable"])
def test_a_real_proof_is_paid_and_no_other_statement_is(made: EzklProof, reusable: bool) -> None:
    commitment, *outputs = made.instances
    with market(("client", "prover", "rival")) as chain:
        for each in (CLIENT, PROVER):
            chain.send(each, bindings.deposit(), ETHER)
        program = _register(chain, made, reusable)
        order = chain.order(CLIENT.address, 1, program_id=program, input_commitment=commitment)
        award = chain.award(order, PROVER.address)
        good = bindings.settle_external(order, award, outputs, made.proof)
        with pytest.raises(StateRefusal, match="NotLocked"):
            chain.send(RIVAL, good)
        chain.send(PROVER, bindings.lock(order, award, CLIENT.sign(chain.network, award)))
        bad_proof = made.proof[:-1] + bytes([made.proof[-1] ^ 1])
        for others, proof in (([*outputs[:-1], outputs[-1] + 1], made.proof), (outputs[:-1], made.proof),
                              (outputs, bad_proof), (outputs, b"")):  # fmt: skip
            with pytest.raises(ProofRefusal, match="ExternalProofInvalid"):
                chain.send(PROVER, bindings.settle_external(order, award, others, proof))
        elsewhere = chain.order(CLIENT.address, 2, program_id=program, input_commitment=commitment + 1)
        other_award = chain.award(elsewhere, PROVER.address)
        chain.send(PROVER, bindings.lock(elsewhere, other_award, CLIENT.sign(chain.network, other_award)))
        with pytest.raises(ProofRefusal, match="ExternalProofInvalid"):
            chain.send(PROVER, bindings.settle_external(elsewhere, other_award, outputs, made.proof))
        before = chain.balance(PROVER.address)
        chain.send(RIVAL, good)
        assert chain.state(order).status is Status.SETTLED
        assert chain.balance(PROVER.address) == before + award.price + order.verifier_fee + order.collateral
        assert chain.balance(RIVAL.address) == 0


def _register(chain: Market, made: EzklProof, reusable: bool) -> bytes:
    """Deploy verifier and adapter; return the id of the program."""
    verifier = _deploy(chain, bytes.fromhex((made.reusable if reusable else made.whole)[2:]))
    key = made.key if reusable else ()
    if reusable:
        words = [each.to_bytes(32) for each in key]
        data = keccak256(b"registerVka(bytes32[])")[:4] + encode(["bytes32[]"], [words])
        chain.rpc.transact(RIVAL, verifier, data)
    adapter = _deploy(chain, bindings.deploy_ezkl_adapter(verifier, _code_hash(chain, verifier), key))
    chain.register(PROVER, bindings.register_verifier(adapter, bytes(32), bytes(32), True))
    return external_program_id(adapter, _code_hash(chain, adapter), bytes(32), bytes(32), True)


def _deploy(chain: Market, creation: bytes) -> bytes:
    return bytes.fromhex(chain.rpc.transact(PROVER, None, creation)["contractAddress"][2:])


def _code_hash(chain: Market, address: bytes) -> bytes:
    return keccak256(bytes.fromhex(chain.rpc.call("eth_getCode", "0x" + address.hex(), "latest")[2:]))


def _python() -> str | None:
    if named := os.environ.get(PYTHON_VARIABLE):
        return named
    if importlib.util.find_spec("ezkl") is not None:
        return sys.executable
    return str(BENCHMARK) if BENCHMARK.is_file() else None
