# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit: is a bundle what it says? Done once on pull, by every node, before it orders, serves or proves.

It shows that the circuit, the layout and the described meaning are exactly what the model compiles to; that the whole
proving key is the honest key of that circuit under its set-up (a hostile key can make valid proofs that leak
the witness); that the program id follows from the key. No private input touches a key that has not passed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from protocol.errors import AuditError, ModelError, ProvingError
from proving.backends.base import Compiled
from proving.backends.registry import get
from proving.bundle import Bundle, load
from proving.describe import describe_output
from proving.groth16.ceremony import verify
from proving.groth16.dev_setup import DevPhase1
from proving.groth16.key_audit import audit_key
from proving.groth16.phase1 import phase1_id
from proving.groth16.zkey import read_zkey, verifying_words
from proving.manifest import PROVING_KEY_NAME, REGISTRATION_NAME, TRANSCRIPT_NAME
from proving.private_weights import check_registration, weights_path
from proving.prover import with_weights
from proving.publish import labels_of, layers_of
from proving.settings import WeightMode
from proving.setup_record import read_record, record_of
from proving.statement.commitment import derive_blinding, order_secrets

_SAMPLE_SECRET = b"proofmesh audit sample"
_SAMPLE_BINDING = 1
_WEIGHT_CHECKS = {
    WeightMode.FOLDED: ("the key is the architecture's with exactly the committed weights, which the publisher knows",),
    WeightMode.POSEIDON: ("each proof commits to its weights in the statement",),
}


@dataclass(frozen=True, slots=True)
class AuditResult:
    """A passed audit; it holds for the bundle id for ever, so keep it. `proving_ms` includes the witness."""

    bundle_id: bytes
    program_id: bytes
    circuit_hash: bytes
    constraints: int
    compile_ms: int
    key_ms: int
    proving_ms: int
    checks: tuple[str, ...]


def audit_folder(folder: str, bundle_id: bytes, ptau: Path | None) -> AuditResult:
    """Load and audit a bundle; what a worker process is asked for."""
    return audit(load(Path(folder), bundle_id), ptau)


def audit(bundle: Bundle, ptau: Path | None = None) -> AuditResult:
    """Check a loaded bundle against its own claims; `ptau` are the powers of tau that a ceremony started from.

    Raises:
        AuditError: something is not as claimed, or the powers of tau are missing; the message says what.
    """
    start = perf_counter()
    compiled = recompiled(bundle)
    compiled_at = perf_counter()
    _check_key(bundle, compiled, ptau)
    key_at = perf_counter()
    proving_ms = _sample_ms(bundle, compiled)
    return AuditResult(
        bundle.id,
        bytes.fromhex(bundle.manifest.program_id),
        compiled.circuit_hash,
        compiled.size.rows,
        round((compiled_at - start) * 1000),
        round((key_at - compiled_at) * 1000),
        proving_ms,
        (
            "every file has the hash in the manifest",
            "the model compiles to this circuit, layout and meaning",
            "the inputs determine every output",
            "the program id is that of key, layout and set-up",
            "the whole proving key is the honest key of this circuit and set-up",
            *_WEIGHT_CHECKS.get(bundle.manifest.settings.weights.mode, ()),
            *(["a proof made with the bundle's keys verifies"] if _can_prove(bundle) else []),
        ),
    )


def recompiled(bundle: Bundle) -> Compiled:
    """Compile a bundle's model again and compare everything that follows from it.

    Raises:
        AuditError: the bundle claims something else.
    """
    manifest = bundle.manifest
    try:
        compiled = get(manifest.backend).compile(bundle.source)
    except ModelError as error:
        raise AuditError(f"The bundle's model does not compile: {error.message}") from None
    size, layout = compiled.size, compiled.circuit.layout
    claimed = (manifest.circuit_hash, manifest.layout, manifest.constraints, manifest.wires, manifest.domain)
    found = (compiled.circuit_hash.hex(), layout.digest().hex(), size.rows, size.wires, size.domain)
    if claimed != found or manifest.public_inputs != len(layout.order):
        raise AuditError("The bundle's circuit is not what its model compiles to.")
    if manifest.output != describe_output(layout, labels_of(compiled)):
        raise AuditError("The manifest says something else of the outputs than the circuit does.")
    if manifest.layers != layers_of(compiled):
        raise AuditError("The manifest says something else of the layers than the circuit does.")
    return compiled


def _check_key(bundle: Bundle, compiled: Compiled, ptau: Path | None) -> None:
    manifest, model = bundle.manifest, compiled.circuit
    key = bundle.path(PROVING_KEY_NAME)
    words = manifest.words
    if manifest.settings.weights.mode is WeightMode.FOLDED:
        words = verifying_words(read_zkey(key))
        registration = bundle.path(REGISTRATION_NAME).read_bytes()
        check_registration(model, words, manifest.words, manifest.weights_commitment, registration)
    if manifest.dev:
        audit_key(model.system, key, DevPhase1().secrets(compiled.circuit_hash), words)
    else:
        _check_ceremony(bundle, compiled, ptau, words)


def _check_ceremony(bundle: Bundle, compiled: Compiled, ptau: Path | None, words: tuple[int, ...]) -> None:
    if ptau is None:
        raise AuditError(
            "The keys come from a ceremony, and checking them needs the powers of tau that it started from.",
            remedy="Name the .ptau file with --ptau, or set `powers_of_tau` in config.toml.",
        )
    key = bundle.path(PROVING_KEY_NAME)
    transcript = verify(compiled.circuit.system, ptau, key)
    final = read_zkey(key)
    expected = record_of(transcript, phase1_id(final.alpha1, final.beta2))
    if read_record(bundle.path(TRANSCRIPT_NAME).read_bytes()) != expected or verifying_words(final) != words:
        raise AuditError("The record of the ceremony is not that of the key.")
    if bundle.manifest.setup_id != transcript.digest.hex():
        raise AuditError("The set-up id is not the hash of the ceremony's transcript.")


def _can_prove(bundle: Bundle) -> bool:
    return not bundle.manifest.private_weights or weights_path(bundle.folder).is_file()


def _sample_ms(bundle: Bundle, compiled: Compiled) -> int:
    """Return how long a proof takes; who has not the private weights cannot make one, and gets the estimate."""
    if not _can_prove(bundle):
        return max(1, round(get(bundle.manifest.backend).estimate(compiled.size).proving_ms))
    # The first proof also loads the key; the second one is what a warm worker takes.
    _prove_sample(bundle, compiled)
    start = perf_counter()
    _prove_sample(bundle, compiled)
    return max(1, round((perf_counter() - start) * 1000))


def _prove_sample(bundle: Bundle, compiled: Compiled) -> None:
    compiled, blinding = with_weights(bundle, compiled)
    layout = compiled.circuit.layout
    groups = [derive_blinding(_SAMPLE_SECRET, bytes([each.number])) for each in layout.groups[1:]]
    secrets = replace(order_secrets(_SAMPLE_SECRET, bundle.id, groups), weights=blinding)
    sample = [each.low for each in layout.inputs for _ in range(each.count)]
    try:
        get(bundle.manifest.backend).prove(compiled, bundle.keys, sample, secrets, _SAMPLE_BINDING)
    except ProvingError as error:
        raise AuditError(f"The bundle's keys cannot prove: {error.message}") from None
