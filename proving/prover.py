# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proving worker runs: plain synchronous functions over a bundle's folder, with warm keys.

Every argument and result can be sent between processes. A bundle is checked byte by byte and compiled
when a process first meets it, and then kept; bundles are content-addressed, so a folder never changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter

from protocol.errors import AuditError
from proving.backend import CompiledModel
from proving.bundle import Bundle
from proving.bundle import load as load_bundle
from proving.groth16 import engine
from proving.groth16.backend import GROTH16
from proving.inputs import check_inputs as check_ranges
from proving.manifest import PROVING_KEY_NAME

WARM_BUNDLES = 4


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked bundle and what its model compiles to, in this process."""

    bundle: Bundle
    compiled: CompiledModel


@dataclass(frozen=True, slots=True)
class WitnessResult:
    """What a computed witness commits to and outputs; the witness itself stays in the worker."""

    commitment: int
    outputs: tuple[int, ...]
    witness_ms: float


@dataclass(frozen=True, slots=True)
class ProofResult:
    """A verified proof: 256 bytes as in docs/adr/0001, and `commitment, outputs..., binding`."""

    proof: bytes
    public_inputs: tuple[int, ...]
    witness_ms: float
    proving_ms: float


def load(bundle_dir: Path | str) -> Loaded:
    """Return a bundle, ready to prove with; the proving key is in memory afterwards.

    Raises:
        BundleError, ModelError, KeyMaterialError: the bundle is not usable.
    """
    return _load(str(Path(bundle_dir).absolute()))


@lru_cache(maxsize=WARM_BUNDLES)
def _load(folder: str) -> Loaded:
    bundle = load_bundle(Path(folder))
    compiled = GROTH16.compile(bundle.model(), bundle.manifest.settings)
    if compiled.circuit_hash.hex() != bundle.manifest.circuit_hash:
        raise AuditError("The bundle's circuit is not what its model compiles to.")
    engine.load_key(bundle.path(PROVING_KEY_NAME), bundle.manifest.file(PROVING_KEY_NAME).sha256)
    return Loaded(bundle, compiled)


def check_inputs(bundle_dir: Path | str, inputs: Sequence[object]) -> tuple[int, ...]:
    """Return the inputs as raw integers; raises InputShapeError, InputTypeError, InputRangeError."""
    return check_ranges(load(bundle_dir).bundle.manifest.ranges, inputs)


def witness(
    bundle_dir: Path | str, inputs: Sequence[int], blinding: int, output_key: int
) -> WitnessResult:
    """Compute the witness and say what it commits to and outputs; raises ProvingError."""
    compiled = load(bundle_dir).compiled
    start = perf_counter()
    solved = GROTH16.witness(compiled, inputs, blinding, output_key, 0)
    return WitnessResult(solved.commitment, solved.outputs, _ms_since(start))


def prove(
    bundle_dir: Path | str, inputs: Sequence[int], blinding: int, output_key: int, binding: int
) -> ProofResult:
    """Compute the witness, prove and verify; raises ProvingError."""
    loaded = load(bundle_dir)
    manifest = loaded.bundle.manifest
    start = perf_counter()
    solved = GROTH16.witness(loaded.compiled, inputs, blinding, output_key, binding)
    witness_ms = _ms_since(start)
    start = perf_counter()
    key, digest = loaded.bundle.path(PROVING_KEY_NAME), manifest.file(PROVING_KEY_NAME).sha256
    proof = GROTH16.prove(key, digest, manifest.words, solved)
    return ProofResult(proof, solved.public_inputs, witness_ms, _ms_since(start))


def verify(vk: Sequence[int], proof: bytes, public_inputs: Sequence[int]) -> bool:
    """Say whether a proof holds under a verifying key in words; False for garbage, never an exception."""
    return GROTH16.verify(vk, proof, public_inputs)


def _ms_since(start: float) -> float:
    return (perf_counter() - start) * 1000
