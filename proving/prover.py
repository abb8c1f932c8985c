# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proving worker runs: plain synchronous functions over a bundle's folder, with warm keys.

Every argument and result can be sent between processes. A bundle is checked byte by byte and compiled
when a process first meets it, and then kept; bundles are content-addressed, so a folder never changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from time import perf_counter

from protocol.errors import AuditError, ProvingError
from proving.backends.base import Backend, Compiled, Proved
from proving.backends.registry import get
from proving.bundle import Bundle
from proving.bundle import load as load_bundle
from proving.groth16 import engine
from proving.groth16.compiled import with_parameters
from proving.manifest import PROVING_KEY_NAME
from proving.private_weights import read_weights, weights_path
from proving.statement.commitment import Secrets

WARM_BUNDLES = 4


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked bundle and what its model compiles to, in this process."""

    bundle: Bundle
    backend: Backend
    compiled: Compiled

    weight_blinding: int = field(default=0, repr=False)

    def completed(self, secrets: Secrets) -> Secrets:
        """Return an order's secrets with the blinding of private weights."""
        return replace(secrets, weights=self.weight_blinding) if self.weight_blinding else secrets


@dataclass(frozen=True, slots=True)
class WitnessResult:
    """What a computed witness commits to; the witness itself stays in the worker."""

    commitment: int
    witness_ms: float


def load(bundle_dir: Path | str) -> Loaded:
    """Return a bundle, ready to prove with; the proving key is in memory afterwards.

    Raises:
        BundleError, ModelError, KeyMaterialError: the bundle is not usable.
    """
    return _load(Path(bundle_dir).resolve())


@lru_cache(maxsize=WARM_BUNDLES)
def _load(folder: Path) -> Loaded:
    bundle = load_bundle(folder)
    backend = get(bundle.manifest.backend)
    compiled = backend.compile(bundle.source)
    if compiled.circuit_hash.hex() != bundle.manifest.circuit_hash:
        raise AuditError("The bundle's circuit is not what its model compiles to.")
    engine.load_zkey(bundle.path(PROVING_KEY_NAME), bundle.keys.proving_key_sha256)
    return Loaded(bundle, backend, *with_weights(bundle, compiled))


def with_weights(bundle: Bundle, compiled: Compiled) -> tuple[Compiled, int]:
    """Return the compiled model with the private weights that lie beside the bundle, and their blinding.

    Raises:
        PrivateWeightsError: the weights are private, and not here.
    """
    if not bundle.manifest.private_weights:
        return compiled, 0
    weights = read_weights(weights_path(bundle.folder), len(compiled.circuit.program.parameter_values))
    return replace(compiled, circuit=with_parameters(compiled.circuit, weights.values)), weights.blinding


def warm_up(bundle_dir: Path | str) -> None:
    """Load a bundle, and compute one witness, whose first time draws Poseidon's constants; raises as `load`."""
    loaded = load(bundle_dir)
    manifest = loaded.bundle.manifest
    groups = [1] * (len(manifest.statement_layout.groups) - 1)
    lowest = [each.low for each in manifest.inputs for _ in range(each.count)]
    with suppress(ProvingError):
        # Not every circuit has a witness for the lowest inputs; then there is nothing to warm.
        loaded.backend.statement(loaded.compiled, lowest, loaded.completed(Secrets(1, 1, tuple(groups))), 0)


def witness(bundle_dir: Path | str, inputs: Sequence[int], secrets: Secrets) -> WitnessResult:
    """Compute the witness and say what it commits to; raises ProvingError."""
    loaded = load(bundle_dir)
    start = perf_counter()
    words = loaded.backend.statement(loaded.compiled, inputs, loaded.completed(secrets), 0)
    return WitnessResult(words[0], (perf_counter() - start) * 1000)


def prove(bundle_dir: Path | str, inputs: Sequence[int], secrets: Secrets, binding: int) -> Proved:
    """Compute the witness, prove and verify; raises ProvingError."""
    loaded = load(bundle_dir)
    keys = loaded.bundle.keys
    return loaded.backend.prove(loaded.compiled, keys, inputs, loaded.completed(secrets), binding)


def verify(vk: Sequence[int], proof: bytes, public_inputs: Sequence[int]) -> bool:
    """Say whether a proof holds under a verifying key in words; False for garbage, never an exception."""
    return engine.verify(tuple(vk), proof, public_inputs)
