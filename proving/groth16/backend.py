# SPDX-License-Identifier: GPL-3.0-or-later
"""The default backend: ONNX to R1CS by our own compiler, Groth16 over BN254 by groth16py (arkworks)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from protocol.errors import ModelError, ProvingError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.backends.base import (
    Appraisal,
    Compiled,
    Estimate,
    Format,
    KeyPair,
    ModelSource,
    Proved,
    Size,
    Traits,
)
from proving.backends.estimate import estimate
from proving.constraints.files import wtns_bytes
from proving.groth16 import engine
from proving.groth16.compiled import CompiledModel, compile_model
from proving.groth16.dev_setup import dev_keys
from proving.groth16.verifying_key import bytes_of, from_bytes
from proving.inputs import check_inputs
from proving.sparse import Array
from proving.statement.commitment import Secrets
from proving.statement.emit import given

PROVING_KEY_NAME = "proving.zkey"


class Groth16:
    """Groth16 over BN254; see proving/backends/base.py for the seam."""

    name = "groth16"
    traits = Traits(settles=True, commits=True, binds=True)

    def appraise(self, source: ModelSource) -> Appraisal:
        """Compile, and say why not or at what cost."""
        if source.format is not Format.ONNX:
            return Appraisal(("it takes ONNX files.",))
        try:
            compiled = self.compile(source)
        except ModelError as error:
            return Appraisal((error.message,))
        return Appraisal(estimate=self.estimate(compiled.size))

    def compile(self, source: ModelSource) -> Compiled:
        """Turn a model into a circuit; a function of the bytes and the settings alone."""
        model = compile_model(source.main_bytes, source.settings)
        return Compiled(self.name, model.circuit_hash, size_of(model), model)

    def setup(self, compiled: Compiled, folder: Path) -> KeyPair:
        """Make development keys, under which anybody could forge proofs."""
        model: CompiledModel = compiled.circuit
        keys = dev_keys(model.system, compiled.circuit_hash, folder / PROVING_KEY_NAME)
        with keys.proving_key.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return KeyPair(keys.proving_key, digest, bytes_of(keys.verifying_key), keys.setup_id, keys.dev)

    def prove(
        self, compiled: Compiled, keys: KeyPair, inputs: Sequence[int], secrets: Secrets, binding: int
    ) -> Proved:
        """Return a proof that was verified with the given verifying key."""
        model: CompiledModel = compiled.circuit
        start = perf_counter()
        wires = self.witness(compiled, inputs, secrets, binding)
        statement = public_words(model, wires)
        solved = perf_counter()
        key = engine.load_zkey(keys.proving_key, keys.proving_key_sha256)
        proof = engine.prove_wtns(key, wtns_bytes(wires), from_bytes(keys.verifying_key), statement)
        return Proved(proof, statement, (solved - start) * 1000, (perf_counter() - solved) * 1000)

    def statement(
        self, compiled: Compiled, inputs: Sequence[int], secrets: Secrets, binding: int
    ) -> tuple[int, ...]:
        """Compute the witness and return the words of the statement; raises as `witness`."""
        return public_words(compiled.circuit, self.witness(compiled, inputs, secrets, binding))

    def witness(self, compiled: Compiled, inputs: Sequence[int], secrets: Secrets, binding: int) -> Array:
        """Return the value of every wire, uint8[wires, 32] little-endian: as private as the inputs.

        Raises:
            ProvingError: inputs outside the model's shape or ranges, or a binding that is no field element.
        """
        model: CompiledModel = compiled.circuit
        values = check_inputs(model.program.inputs, inputs)
        if not 0 <= binding < BN254_SCALAR_ORDER:
            raise ProvingError("The binding is no field element.")
        trace = model.evaluator.trace(values)
        return model.emitted.plan.witness(trace, given(model.program, secrets, binding))

    def verify(self, verifying_key: bytes, proof: bytes, public_inputs: Sequence[int]) -> bool:
        """Say whether a proof holds; False for garbage."""
        return engine.verify(from_bytes(verifying_key), proof, public_inputs)

    def estimate(self, size: Size) -> Estimate:
        """Say what a proof over a circuit of this size costs on this machine."""
        return estimate(size)


def size_of(model: CompiledModel) -> Size:
    """Return what decides the cost of a circuit."""
    system = model.system
    entries = len(system.a.values) + len(system.b.values)
    return Size(system.constraints, system.domain, model.emitted.public.statement, system.wires, entries)


def public_words(model: CompiledModel, wires: Array) -> tuple[int, ...]:
    """Return the statement in a witness, without folded weights."""
    rows = wires[1 : model.emitted.public.statement + 1]
    return tuple(int.from_bytes(row.tobytes(), "little") for row in rows)


GROTH16 = Groth16()


def backend() -> Groth16:
    """Return the backend, for the registry."""
    return GROTH16
