# SPDX-License-Identifier: GPL-3.0-or-later
"""The default backend: ONNX to R1CS by our own compiler, proofs by groth16py."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from protocol.errors import ProvingError, SelfCheckError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.backend import CompiledModel, Estimate, Keys, Witness
from proving.commitment import check_secrets
from proving.emit import emit
from proving.groth16 import engine
from proving.groth16.verifying_key import dev_setup_id
from proving.inputs import check_inputs
from proving.layout import layout_of
from proving.onnx_import import import_onnx
from proving.quantise import quantise
from proving.r1cs import r1cs_bytes
from proving.settings import Settings

PROVING_KEY_NAME = "proving.key"

PROVING_MS, PROVING_US_PER_DOMAIN_POINT = 35, 14
"""What a proof takes on the reference machine: a constant, and microseconds per point of the domain. Fitted
to 62 ms at 2^11, 97 ms at 2^12, 262 ms at 2^14; an estimate for preflight, until there are measured times."""
SETUP_US_PER_DOMAIN_POINT = 90


class Groth16:
    """Groth16 over BN254; see proving/backend.py for the seam."""

    name = "groth16-bn254"

    def compile(self, model: bytes, settings: Settings) -> CompiledModel:
        """Turn a model file into a circuit; a function of the bytes and the settings alone."""
        network = import_onnx(model)
        program = quantise(network, settings)
        emitted = emit(program)
        data, layout = r1cs_bytes(emitted.system), layout_of(program)
        digest = hashlib.sha256(hashlib.sha256(data).digest() + layout).digest()
        return CompiledModel(program, network.labels, emitted, data, layout, digest)

    def setup(self, compiled: CompiledModel, folder: Path) -> Keys:
        """Make single-party keys: whoever runs this could forge proofs."""
        path = folder / PROVING_KEY_NAME
        words = engine.setup(compiled.circuit_bytes, path)
        return Keys(path, words, dev_setup_id(words), dev=True)

    def witness(
        self, compiled: CompiledModel, inputs: Sequence[int], blinding: int, output_key: int, binding: int
    ) -> Witness:
        """Compute every wire of the circuit for raw inputs."""
        values = check_inputs(compiled.program.inputs, inputs)
        check_secrets(blinding, output_key)
        if not 0 <= binding < BN254_SCALAR_ORDER:
            raise ProvingError("The binding is no field element.")
        emitted = compiled.emitted
        unsigned = (x - each.low for x, each in zip(values, compiled.program.inputs, strict=True))
        supplied = dict(zip(emitted.input_wires, unsigned, strict=True))
        supplied |= {
            emitted.blinding_wire: blinding,
            emitted.output_key_wire: output_key,
            emitted.binding_wire: binding,
        }
        wires = tuple(emitted.system.solve(supplied))
        return Witness(wires, wires[1 : emitted.system.public + 1])

    def prove(
        self, proving_key: Path, key_digest: str, verifying_key: Sequence[int], witness: Witness
    ) -> bytes:
        """Return a proof that was verified with the given verifying key."""
        proof = engine.prove(engine.load_key(proving_key, key_digest), witness.wires)
        if not self.verify(verifying_key, proof, witness.public_inputs):
            raise SelfCheckError("The proof just made does not verify.")
        return proof

    def verify(self, verifying_key: Sequence[int], proof: bytes, public_inputs: Sequence[int]) -> bool:
        """Say whether a proof holds; False for garbage."""
        return engine.verify(tuple(verifying_key), proof, public_inputs)

    def estimate(self, constraints: int, public_inputs: int) -> Estimate:
        """Estimate from the domain: the next power of two above constraints and public inputs."""
        domain = 1 << (constraints + public_inputs).bit_length()
        return Estimate(
            constraints,
            domain,
            PROVING_MS + domain * PROVING_US_PER_DOMAIN_POINT // 1000,
            max(1, domain * SETUP_US_PER_DOMAIN_POINT // 1000),
        )


GROTH16 = Groth16()
