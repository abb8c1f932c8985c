# SPDX-License-Identifier: GPL-3.0-or-later
"""The seam between the market and proof systems: what a backend takes and gives.

Everything is synchronous and every argument and result can be pickled: call it from a worker process. A third
party's backend is an object of this shape behind an entry point of the group `proofmesh.backends`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from proving.settings import ModelSettings
from proving.statement.commitment import Secrets


class Format(StrEnum):
    """What kind of file a model starts from."""

    ONNX = "onnx"
    CIRCOM = "circom"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model as its publisher gives it: files by name (no folders), the one to start from, the settings.

    A Circom circuit's settings come from its input map (`circom_map.py`), which is one of the files.
    """

    format: Format
    main: str
    files: Mapping[str, bytes] = field(repr=False)
    settings: ModelSettings

    @property
    def main_bytes(self) -> bytes:
        return self.files[self.main]


@dataclass(frozen=True, slots=True)
class Traits:
    """What the proofs of a backend can be used for.

    `settles`: the Escrow accepts them (256 bytes, verified by Groth16Verifier). `commits`: the statement begins with
    the blinded commitment to the private inputs. `binds`: it ends in the order's binding, so that a proof cannot be
    used for another order. A backend without the last two serves local proofs only.
    """

    settles: bool
    commits: bool
    binds: bool


@dataclass(frozen=True, slots=True)
class Size:
    """What decides the cost of a circuit.

    `rows` are constraints (Groth16) or rows of the table (Halo2); `domain` is the size of the FFT, a power of two;
    `public` counts the words of the statement. `wires` and `entries` (non-zero coefficients of A and B) set the size
    of a Groth16 key; 0 elsewhere.
    """

    rows: int
    domain: int
    public: int
    wires: int = 0
    entries: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a proof costs before it is made. Milliseconds on the calibrated machine, one proof at a time, key warm.

    `memory_bytes` is the peak of the proving process; `gas` of one verification in a transaction of its own.
    """

    size: Size
    proving_ms: float
    setup_ms: float
    key_bytes: int
    memory_bytes: int
    proof_bytes: int
    gas: int


@dataclass(frozen=True, slots=True)
class Appraisal:
    """Whether a backend can prove a model, and at what cost; `reasons` say why not, each one sentence."""

    reasons: tuple[str, ...] = ()
    estimate: Estimate | None = None

    @property
    def supported(self) -> bool:
        return not self.reasons


@dataclass(frozen=True, slots=True)
class Compiled:
    """A model as a circuit; `circuit_hash` (32 bytes) is the same on every machine. `circuit` is the backend's own."""

    backend: str
    circuit_hash: bytes
    size: Size
    circuit: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A proving key on disk, the bytes of the verifying key, and the name of the set-up.

    For Groth16 the verifying key is the words of docs/adr/0001, 32 bytes each, big-endian. `dev`: whoever made the
    keys, or anybody, could forge proofs. `proving_key_sha256` (hex) is what the file was checked against.
    """

    proving_key: Path
    proving_key_sha256: str
    verifying_key: bytes = field(repr=False)
    setup_id: bytes
    dev: bool


@dataclass(frozen=True, slots=True)
class Proved:
    """A proof that was verified before it was returned, its statement, and how long each part took."""

    proof: bytes
    public_inputs: tuple[int, ...]
    witness_ms: float
    proving_ms: float


@runtime_checkable
class Backend(Protocol):
    """A proof system."""

    name: str
    traits: Traits

    def appraise(self, source: ModelSource) -> Appraisal:
        """Say whether and at what cost the model can be proved, before any keys are made.

        Never raises for a model that it cannot take: the reasons are in the answer.
        """

    def compile(self, source: ModelSource) -> Compiled:
        """Turn a model into a circuit, the same on every machine; raises ModelError."""

    def setup(self, compiled: Compiled, folder: Path) -> KeyPair:
        """Make development keys; the proving key is written into `folder`."""

    def statement(
        self, compiled: Compiled, inputs: Sequence[int], secrets: Secrets, binding: int
    ) -> tuple[int, ...]:
        """Compute the witness and return the words of the statement: what a prover does before it promises anything.

        Raises:
            ProvingError: inputs outside the model's shape or ranges, or for which there is no witness.
        """

    def prove(
        self, compiled: Compiled, keys: KeyPair, inputs: Sequence[int], secrets: Secrets, binding: int
    ) -> Proved:
        """Return a verified proof from raw inputs.

        Raises:
            ProvingError: inputs outside the model's shape or ranges, unusable keys, or a proof that does not verify.
        """

    def verify(self, verifying_key: bytes, proof: bytes, public_inputs: Sequence[int]) -> bool:
        """Say whether a proof holds; False for garbage, never an exception."""

    def estimate(self, size: Size) -> Estimate:
        """Say what a proof over a circuit of this size costs on this machine."""
