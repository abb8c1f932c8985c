# SPDX-License-Identifier: GPL-3.0-or-later
"""Circom: a user's own circuit with its input map, as a model like any other.

Files: the `.circom` file with the main component, what it includes (circomlib is there), and `inputs.toml`
(circom_map.py). The main component is replaced by one that honours the statement (circom_wrapper.py), so the
circuit need not know of commitments and bindings. Proofs are the same Groth16 proofs as a compiled model's.

Proving needs `pip install proofmesh[circom]` (wasmtime runs the circuit's witness program); compiling, checking and
verifying do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import perf_counter

import numpy as np

from protocol.errors import (
    CompileSettingsError,
    InputRangeError,
    InputShapeError,
    InputTypeError,
    ModelError,
    ProofmeshError,
    SelfCheckError,
    UndeterminedOutputError,
)
from proving.backends import circom_compiler, circom_source, circom_wrapper
from proving.backends.base import Appraisal, Compiled, Estimate, Format, KeyPair, ModelSource, Proved, Size, Traits
from proving.backends.circom_determinism import undetermined
from proving.backends.circom_map import MAP_NAME, CircomMap, parse_map
from proving.backends.circom_witness import WitnessProgram
from proving.backends.estimate import estimate, size_of
from proving.constraints.files import r1cs_bytes, wtns_bytes
from proving.constraints.system import ConstraintSystem
from proving.groth16 import engine
from proving.groth16.dev_setup import dev_keys
from proving.settings import InputRange
from proving.statement.commitment import Secrets, commit
from proving.statement.layout import Layout

KEY_NAME = "circuit.zkey"
WORD_BYTES = 32
_WARM_PROGRAMS = 4


@dataclass(frozen=True, slots=True)
class CircomCircuit:
    """A compiled circuit; `wasm` is its witness program."""

    system: ConstraintSystem = field(repr=False)
    wasm: bytes = field(repr=False)
    layout: Layout


class Circom:
    """The backend; it has no state."""

    name = "circom"
    traits = Traits(settles=True, commits=True, binds=True)

    def appraise(self, source: ModelSource) -> Appraisal:
        """Say whether the circuit compiles and what it costs; this compiles it."""
        if source.format is not Format.CIRCOM:
            return Appraisal((f"it proves Circom circuits, not {source.format.value} models.",))
        try:
            return Appraisal(estimate=self.estimate(self.compile(source).size))
        except ProofmeshError as error:
            return Appraisal((str(error),))

    def compile(self, source: ModelSource) -> Compiled:
        """Compile the circuit inside its statement.

        Raises:
            ModelError: the compiler refuses it, or the inputs do not determine what the statement says.
            CompileSettingsError: the map does not fit the circuit.
        """
        if source.format is not Format.CIRCOM:
            raise ModelError("The Circom backend takes Circom circuits.")
        described = _map_of(source)
        prepared = circom_source.prepare(source.main, source.files)
        _check_visibility(prepared.public, described.ranges)
        layout = circom_wrapper.layout_of(described)
        files = circom_wrapper.wrap(prepared, described, layout)
        system, wasm = circom_compiler.compile_circuit(circom_wrapper.MAIN, files)
        _check_statement(system, layout)
        digest = hashlib.sha256(layout.digest() + r1cs_bytes(system)).digest()
        return Compiled(self.name, digest, size_of(system), CircomCircuit(system, wasm, layout))

    def setup(self, compiled: Compiled, folder: Path) -> KeyPair:
        """Make development keys."""
        path = folder / KEY_NAME
        keys = dev_keys(compiled.circuit.system, compiled.circuit_hash, path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        words = b"".join(word.to_bytes(WORD_BYTES, "big") for word in keys.verifying_key)
        return KeyPair(path, digest, words, keys.setup_id, keys.dev)

    def statement(
        self, compiled: Compiled, inputs: Sequence[int], secrets: Secrets, binding: int
    ) -> tuple[int, ...]:
        """Run the witness program and return the words of the statement; raises ProvingError."""
        return self._witness(compiled.circuit, inputs, secrets, binding)[1]

    def prove(
        self, compiled: Compiled, keys: KeyPair, inputs: Sequence[int], secrets: Secrets, binding: int
    ) -> Proved:
        """Prove a record; raises ProvingError."""
        start = perf_counter()
        wires, words = self._witness(compiled.circuit, inputs, secrets, binding)
        witness_ms = (perf_counter() - start) * 1000
        start = perf_counter()
        key = engine.load_zkey(keys.proving_key, keys.proving_key_sha256)
        wtns = wtns_bytes(_rows(wires))
        proof = engine.prove_wtns(key, wtns, _words(keys.verifying_key), words)
        return Proved(proof, words, witness_ms, (perf_counter() - start) * 1000)

    def verify(self, verifying_key: bytes, proof: bytes, public_inputs: Sequence[int]) -> bool:
        """Say whether a proof holds."""
        if len(verifying_key) % WORD_BYTES:
            return False
        return engine.verify(_words(verifying_key), proof, public_inputs)

    def estimate(self, size: Size) -> Estimate:
        """Say what a proof costs."""
        return estimate(size)

    def _witness(
        self, circuit: CircomCircuit, inputs: Sequence[int], secrets: Secrets, binding: int
    ) -> tuple[Sequence[int], tuple[int, ...]]:
        unsigned = unsigned_inputs(circuit.layout.inputs, inputs)
        wires = _program(circuit.wasm).witness(circom_wrapper.signals(circuit.layout, unsigned, secrets, binding))
        words = tuple(wires[1 : len(circuit.layout.order) + 1])
        self._check(circuit.layout, inputs, secrets, words, binding)
        return wires, words

    def _check(
        self, layout: Layout, inputs: Sequence[int], secrets: Secrets, words: Sequence[int], binding: int
    ) -> None:
        """Compare what the circuit says with the commitment as anybody else computes it."""
        group = layout.groups[0]
        raw = [int(inputs[each]) for each in group.elements]
        expected = commit(group.fields, raw, secrets.blinding, secrets.output_key)
        if words[0] != expected or words[-1] != binding:
            raise SelfCheckError("The circuit's statement is not the one of these inputs.")


def backend() -> Circom:
    """Return the backend: what the registry names."""
    return Circom()


def read_folder(folder: Path, main: str) -> ModelSource:
    """Read a circuit from a folder: every .circom file in it and the input map.

    Raises:
        ModelError, CompileSettingsError: files are missing or too large, or the map is none.
    """
    files: dict[str, bytes] = {}
    for path in sorted(folder.iterdir()):
        if path.name != MAP_NAME and path.suffix != ".circom":
            continue
        if path.stat().st_size > circom_source.MAX_SOURCE_BYTES or len(files) > circom_source.MAX_FILES:
            raise ModelError(f"{path.name} is too large, or the folder has too many files.")
        files[path.name] = path.read_bytes()
    if main not in files or MAP_NAME not in files:
        raise ModelError(f"The folder must hold {main} and {MAP_NAME}.")
    return ModelSource(Format.CIRCOM, main, files, parse_map(files[MAP_NAME]).settings)


def unsigned_inputs(ranges: Sequence[InputRange], inputs: Sequence[int]) -> list[int]:
    """Return `raw - low` of each input.

    Raises:
        InputShapeError, InputTypeError, InputRangeError: the record is not one of these fields.
    """
    elements = [each for each in ranges for _ in range(each.count)]
    if len(inputs) != len(elements):
        raise InputShapeError(f"The circuit takes {len(elements)} inputs, not {len(inputs)}.")
    for each, value in zip(elements, inputs, strict=True):
        if type(value) is not int:
            raise InputTypeError(f"A value of input {each.name!r} is no whole number.")
        if not each.low <= value <= each.high:
            raise InputRangeError(f"A value of input {each.name!r} is outside its range {each.low} to {each.high}.")
    return [value - each.low for each, value in zip(elements, inputs, strict=True)]


def _map_of(source: ModelSource) -> CircomMap:
    if MAP_NAME not in source.files:
        raise CompileSettingsError(f"The circuit comes without {MAP_NAME}.")
    described = parse_map(source.files[MAP_NAME])
    if described.settings != source.settings:
        raise CompileSettingsError(f"The settings are not those of {MAP_NAME}.")
    return described


def _check_statement(system: ConstraintSystem, layout: Layout) -> None:
    words = layout.order
    if system.public != len(words):
        raise ModelError(f"The circuit has {system.public} public signals, the statement {len(words)} words.")
    if free := undetermined(system, circom_wrapper.known_wires(system, layout), range(1, len(words))):
        word = free[0] - 1
        raise UndeterminedOutputError(f"The inputs do not determine word {word} of the statement, {words[word]}.")


def _check_visibility(public: Sequence[str], ranges: Sequence[InputRange]) -> None:
    """Refuse a map that publishes what the circuit's author keeps private, or the other way round."""
    mapped = {each.name for each in ranges if each.visibility.value == "public"}
    if differing := sorted(mapped.symmetric_difference(public)):
        raise CompileSettingsError(
            f"Input {differing[0]!r} is public in {'the map' if differing[0] in mapped else 'the circuit'} only."
        )


@lru_cache(maxsize=_WARM_PROGRAMS)
def _program(wasm: bytes) -> WitnessProgram:
    return WitnessProgram(wasm)


def _rows(wires: Sequence[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    data = b"".join(each.to_bytes(WORD_BYTES, "little") for each in wires)
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, WORD_BYTES)


def _words(verifying_key: bytes) -> tuple[int, ...]:
    starts = range(0, len(verifying_key), WORD_BYTES)
    return tuple(int.from_bytes(verifying_key[start : start + WORD_BYTES], "big") for start in starts)
