# SPDX-License-Identifier: GPL-3.0-or-later
"""The seam between the market and proof systems: what a backend takes and gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from proving.circuit import ConstraintSystem
from proving.emit import EmittedCircuit
from proving.ir import Program
from proving.settings import Settings


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A model as a circuit. `circuit_hash` is SHA-256 of the .r1cs bytes and the layout; 32 bytes each."""

    program: Program
    labels: tuple[str, ...]
    emitted: EmittedCircuit = field(repr=False)
    circuit_bytes: bytes = field(repr=False)
    layout: bytes
    circuit_hash: bytes

    @property
    def system(self) -> ConstraintSystem:
        return self.emitted.system


@dataclass(frozen=True, slots=True)
class Keys:
    """A proving key on disk and the verifying key as the words of docs/adr/0001.

    `setup_id` names the set-up; `dev` says that one party made it and could forge proofs.
    """

    proving_key: Path
    verifying_key: tuple[int, ...]
    setup_id: bytes
    dev: bool


@dataclass(frozen=True, slots=True)
class Witness:
    """The value of every wire, all of it as private as the inputs, and the statement that it satisfies.

    Without a binding, `public_inputs` ends in 0 and the witness serves for checks only.
    """

    wires: tuple[int, ...] = field(repr=False)
    public_inputs: tuple[int, ...]

    @property
    def commitment(self) -> int:
        return self.public_inputs[0]

    @property
    def outputs(self) -> tuple[int, ...]:
        return self.public_inputs[1:-1]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a proof costs before it is made: `domain` is the FFT size, times are of the reference machine."""

    constraints: int
    domain: int
    proving_ms: int
    setup_ms: int


class Backend(Protocol):
    """A proof system. Everything is synchronous: call it from a worker process."""

    name: str

    def compile(self, model: bytes, settings: Settings) -> CompiledModel:
        """Turn a model file into a circuit, the same on every machine; raises ModelError."""

    def setup(self, compiled: CompiledModel, folder: Path) -> Keys:
        """Make development keys and write the proving key into `folder`."""

    def witness(
        self, compiled: CompiledModel, inputs: Sequence[int], blinding: int, output_key: int, binding: int
    ) -> Witness:
        """Compute every wire; raises ProvingError for inputs outside the model's shape or ranges."""

    def prove(
        self, proving_key: Path, key_digest: str, verifying_key: Sequence[int], witness: Witness
    ) -> bytes:
        """Return a proof of 256 bytes that was verified; raises SelfCheckError.

        `key_digest` is the SHA-256 (hex) that the key file was checked against; it keys the warm cache.
        """

    def verify(self, verifying_key: Sequence[int], proof: bytes, public_inputs: Sequence[int]) -> bool:
        """Say whether a proof holds; False for garbage, never an exception."""

    def estimate(self, constraints: int, public_inputs: int) -> Estimate:
        """Say what a circuit of this size costs."""
