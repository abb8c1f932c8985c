# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit: is a bundle what it says? Done once on pull, by every node, before it orders or serves.

What this audit shows: the circuit, the layout and the described meaning are exactly what the model file
compiles to, so nobody registers one model and runs another; the program id follows from the key; the keys fit
each other and the circuit for one sample, so a prover will not be caught with a key that cannot prove.

What it does not show yet: that the *whole* proving key is honest. A hostile publisher could craft
a key whose proofs verify and leak the witness. Comparing every query of the key with circuit and powers
of tau, and checking the set-up's transcript, comes with ceremonies; until then private inputs belong to
development keys that were made by their owner.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from protocol.errors import AuditError, ModelError, ProvingError
from proving.backend import CompiledModel
from proving.bundle import Bundle, describe_output
from proving.commitment import commit, derive_blinding
from proving.groth16.backend import GROTH16
from proving.interpreter import run
from proving.manifest import PROVING_KEY_NAME

_SAMPLE_SECRET = b"proofmesh audit sample"
_SAMPLE_BINDING = 1


@dataclass(frozen=True, slots=True)
class AuditResult:
    """A passed audit; it holds for the bundle id for ever, so keep it. `proving_ms` includes the witness."""

    bundle_id: bytes
    program_id: bytes
    circuit_hash: bytes
    constraints: int
    compile_ms: int
    proving_ms: int
    checks: tuple[str, ...]


def audit(bundle: Bundle) -> AuditResult:
    """Check a loaded bundle against its own claims.

    Raises:
        AuditError: something is not as claimed; the message says what.
    """
    start = perf_counter()
    compiled = _recompiled(bundle)
    compiled_at = perf_counter()
    _check_samples(bundle, compiled)
    # The first proof also loads the key; the second one is what a warm worker takes.
    _prove_sample(bundle, compiled)
    warm_at = perf_counter()
    _prove_sample(bundle, compiled)
    done = perf_counter()
    return AuditResult(
        bundle.id,
        bytes.fromhex(bundle.manifest.program_id),
        compiled.circuit_hash,
        len(compiled.system.constraints),
        round((compiled_at - start) * 1000),
        max(1, round((done - warm_at) * 1000)),
        (
            "every file has the hash in the manifest",
            "the model compiles to this circuit, layout and meaning",
            "the program id is that of key, layout and set-up",
            "the circuit agrees with the interpreter on samples",
            "a proof made with the bundle's keys verifies",
        ),
    )


def _recompiled(bundle: Bundle) -> CompiledModel:
    manifest = bundle.manifest
    try:
        compiled = GROTH16.compile(bundle.model(), manifest.settings)
    except ModelError as error:
        raise AuditError(f"The bundle's model does not compile: {error.message}") from None
    system = compiled.system
    claimed = (manifest.circuit_hash, manifest.layout, manifest.constraints, manifest.wires)
    found = (compiled.circuit_hash.hex(), compiled.layout.hex(), len(system.constraints), system.wires)
    if claimed != found or manifest.public_inputs != system.public:
        raise AuditError("The bundle's circuit is not what its model compiles to.")
    if manifest.output != describe_output(compiled, manifest.settings):
        raise AuditError("The manifest says something else of the outputs than the circuit does.")
    if manifest.domain != GROTH16.estimate(len(system.constraints), system.public).domain:
        raise AuditError("The manifest understates the circuit's size.")
    return compiled


def _check_samples(bundle: Bundle, compiled: CompiledModel) -> None:
    ranges = compiled.program.inputs
    for sample in ([each.low for each in ranges], [each.high for each in ranges]):
        blinding, output_key = derive_blinding(_SAMPLE_SECRET, bundle.id)
        witness = GROTH16.witness(compiled, sample, blinding, output_key, _SAMPLE_BINDING)
        expected = (
            commit(ranges, sample, blinding, output_key),
            *run(compiled.program, sample).outputs,
            _SAMPLE_BINDING,
        )
        if witness.public_inputs != expected or compiled.system.violated(list(witness.wires)) is not None:
            raise AuditError("The circuit and the interpreter disagree; this is a defect of proofmesh.")


def _prove_sample(bundle: Bundle, compiled: CompiledModel) -> None:
    manifest = bundle.manifest
    blinding, output_key = derive_blinding(_SAMPLE_SECRET, bundle.id)
    sample = [each.low for each in compiled.program.inputs]
    witness = GROTH16.witness(compiled, sample, blinding, output_key, _SAMPLE_BINDING)
    digest = manifest.file(PROVING_KEY_NAME).sha256
    try:
        GROTH16.prove(bundle.path(PROVING_KEY_NAME), digest, manifest.words, witness)
    except ProvingError as error:
        raise AuditError(f"The bundle's keys cannot prove: {error.message}") from None
