# SPDX-License-Identifier: GPL-3.0-or-later
"""EZKL (Halo2): general ONNX at a higher cost, for local proofs. `pip install proofmesh[ezkl]`; nothing of it is here.

EZKL runs in processes of its own under limits of memory and time, and what a proof will take is estimated before
anything large starts: its memory doubles with each row of `logrows`, and a machine that runs out of it takes the
node with it. Its proofs carry no commitment and no binding, and the Escrow does not take them: `traits`.

The Python that has EZKL is this one, or the one that PROOFMESH_EZKL_PYTHON names.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any

from protocol import bounded_json
from protocol.errors import (
    BackendError,
    BackendLimitError,
    KeyMaterialError,
    ModelError,
    ProofmeshError,
    ProvingError,
    SelfCheckError,
)
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.backends import ezkl_child, limited_process
from proving.backends.base import Appraisal, Compiled, Estimate, Format, KeyPair, ModelSource, Proved, Size, Traits
from proving.backends.circom import unsigned_inputs
from proving.settings import Encoding, InputRange, ModelSettings, Reveal, Visibility, WeightMode
from proving.statement.commitment import Secrets

MEMORY_BYTES = 20 << 30
SECONDS = 15 * 60.0
PYTHON_VARIABLE = "PROOFMESH_EZKL_PYTHON"
_G1, _SRS_TAIL = 64, 256
_CALIBRATION_SAMPLES = 4
_KEPT = ("model.compiled", "settings.json", "kzg.srs", "key.vk")
# EZKL 23.0.5, two cores, measured by benchmarks/proving at logrows 15, 16 and 19: everything doubles with a row more.
_AT_LOGROWS = 15
_PROVE_MS, _SETUP_MS, _KEY_BYTES, _MEMORY_BYTES, _BASE_BYTES = 3_600.0, 3_500.0, 138_500_000, 320_000_000, 60_000_000
_PROOF_BYTES, _GAS = 3_072, 548_000


@dataclass(frozen=True, slots=True)
class EzklCircuit:
    """What the other stages need of a compiled model; `settings_json` is EZKL's."""

    settings: ModelSettings
    compiled: bytes = field(repr=False)
    settings_json: bytes = field(repr=False)


class Ezkl:
    """The backend; limits are for each process that it starts."""

    name = "ezkl"
    traits = Traits(settles=False, commits=False, binds=False)

    def __init__(self, memory_bytes: int = MEMORY_BYTES, seconds: float = SECONDS) -> None:
        self.memory_bytes = memory_bytes
        self.seconds = seconds

    def appraise(self, source: ModelSource) -> Appraisal:
        """Say whether EZKL takes the model, within the limits; this lays the circuit out, but makes no keys."""
        if reasons := _reasons(source):
            return Appraisal(reasons)
        try:
            expected = self.estimate(self.compile(source).size)
            self._check_fits(expected)
        except ProofmeshError as error:
            return Appraisal((str(error),))
        return Appraisal(estimate=expected)

    def compile(self, source: ModelSource) -> Compiled:
        """Lay the circuit out.

        Raises:
            BackendError: EZKL is not installed.
            ModelError: it does not take the model or these settings.
        """
        if reasons := _reasons(source):
            raise ModelError(f"EZKL does not prove this: {' '.join(reasons)}")
        request = json.dumps({"arguments": _arguments(source.settings)}, sort_keys=True)
        with _workplace() as folder:
            (folder / "model.onnx").write_bytes(source.main_bytes)
            (folder / "request.json").write_text(request)
            (folder / "calibration.json").write_text(json.dumps({"input_data": _samples(source.settings.inputs)}))
            found = self._run("compile", folder)
            circuit = EzklCircuit(
                source.settings, (folder / "model.compiled").read_bytes(), (folder / "settings.json").read_bytes()
            )
        public = sum(prod(shape) for shape in found["instances"])
        digest = hashlib.sha256(b"\0".join((source.main_bytes, request.encode(), found["version"].encode()))).digest()
        return Compiled(self.name, digest, Size(found["rows"], 1 << found["logrows"], public), circuit)

    def setup(self, compiled: Compiled, folder: Path) -> KeyPair:
        """Make an SRS and keys in a folder of their own.

        Raises:
            BackendLimitError: they would not fit the limits, or did not.
        """
        self._check_fits(self.estimate(compiled.size))
        circuit: EzklCircuit = compiled.circuit
        (folder / "model.compiled").write_bytes(circuit.compiled)
        (folder / "settings.json").write_bytes(circuit.settings_json)
        self._run("setup", folder)
        with (folder / "key.pk").open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        verifying = json.dumps({
            "vk": (folder / "key.vk").read_bytes().hex(), "settings": circuit.settings_json.decode(),
            "srs": _verifier_srs(folder / "kzg.srs").hex(),
        }, sort_keys=True).encode()  # fmt: skip
        return KeyPair(folder / "key.pk", digest, verifying, hashlib.sha256(verifying).digest(), dev=True)

    def statement(
        self, compiled: Compiled, inputs: Sequence[int], secrets: Secrets, binding: int
    ) -> tuple[int, ...]:
        """Refuse: EZKL's statements are for local proofs, which nobody promises beforehand."""
        raise ProvingError("EZKL's statements come with their proofs; use `proofmesh prove`.")

    def prove(
        self, compiled: Compiled, keys: KeyPair, inputs: Sequence[int], secrets: Secrets, binding: int
    ) -> Proved:
        """Prove a record; the statement is the model's outputs, as field elements at EZKL's scale.

        Raises:
            ProvingError: a binding is asked for, which EZKL's statements do not have, or EZKL makes no proof.
            BackendLimitError: the proof would not fit the limits, or did not.
        """
        if binding:
            raise ProvingError("EZKL's proofs cannot be bound to an order.")
        self._check_fits(self.estimate(compiled.size))
        circuit: EzklCircuit = compiled.circuit
        row = _reals(circuit.settings.inputs, inputs)
        with _workplace() as folder:
            for name in _KEPT:
                (folder / name).symlink_to(keys.proving_key.parent / name)
            (folder / "key.pk").symlink_to(keys.proving_key)
            (folder / "input.json").write_text(json.dumps({"input_data": [row]}))
            start = perf_counter()
            found = self._run("prove", folder)
            proving_ms = (perf_counter() - start) * 1000
        proof = bytes.fromhex(found["proof"].removeprefix("0x"))
        public = tuple(_number(each) for column in found["instances"] for each in column)
        if not self.verify(keys.verifying_key, proof, public):
            raise SelfCheckError("The proof that EZKL made does not verify.")
        return Proved(proof, public, 0.0, proving_ms)

    def verify(self, verifying_key: bytes, proof: bytes, public_inputs: Sequence[int]) -> bool:
        """Say whether a proof holds; raises BackendError if EZKL is not installed."""
        if any(type(each) is not int or not 0 <= each < R for each in public_inputs):
            return False
        try:
            parts = bounded_json.loads(verifying_key)
            files = {
                "key.vk": bytes.fromhex(parts["vk"]), "settings.json": parts["settings"].encode(),
                "kzg.srs": bytes.fromhex(parts["srs"]), "proof.json": _proof_json(proof, public_inputs),
            }  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        with _workplace() as folder:
            for name, data in files.items():
                (folder / name).write_bytes(data)
            try:
                return bool(self._run("verify", folder)["valid"])
            except (ModelError, BackendLimitError):
                return False

    def estimate(self, size: Size) -> Estimate:
        """Say what a proof costs from `domain`, which is 2^logrows."""
        factor = size.domain / (1 << _AT_LOGROWS)
        return Estimate(
            size=size, proving_ms=_PROVE_MS * factor, setup_ms=_SETUP_MS * factor, key_bytes=int(_KEY_BYTES * factor),
            memory_bytes=_BASE_BYTES + int(_MEMORY_BYTES * factor), proof_bytes=_PROOF_BYTES, gas=_GAS,
        )  # fmt: skip

    def _check_fits(self, expected: Estimate) -> None:
        """Refuse before it starts what would be stopped later."""
        if expected.memory_bytes > self.memory_bytes:
            raise BackendLimitError(
                f"EZKL would need about {expected.memory_bytes / 2**30:.1f} GiB of memory, and may have "
                f"{self.memory_bytes / 2**30:.1f}."
            )
        if expected.proving_ms > self.seconds * 1000:
            raise BackendLimitError(
                f"EZKL would prove for about {expected.proving_ms / 1000:.0f} s, and may take {self.seconds:.0f}."
            )

    def _run(self, stage: str, folder: Path) -> dict[str, Any]:
        """Run a stage of ezkl_child; raises BackendError, BackendLimitError, ModelError."""
        used = limited_process.run(
            [str(_python()), "-P", ezkl_child.__file__, stage, str(folder)],
            memory_bytes=self.memory_bytes, seconds=self.seconds,
            environment={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LANG": "C.UTF-8"},
        )  # fmt: skip
        if used.end in (limited_process.End.MEMORY, limited_process.End.TIME):
            raise BackendLimitError(f"EZKL was stopped in its {stage} at its limit of {used.end.value}.")
        if used.end is limited_process.End.FAILED:
            lines = [line.strip() for line in used.errors.splitlines() if "Error" in line] or [used.errors.strip()]
            raise ModelError(f"EZKL's {stage} failed: {lines[-1][-300:]}")
        found: dict[str, Any] = json.loads((folder / "result.json").read_text())
        return found


def backend() -> Ezkl:
    """Return the backend with its default limits: what the registry names."""
    return Ezkl()


def installed() -> bool:
    """Say whether there is a Python with EZKL."""
    try:
        _python()
    except BackendError:
        return False
    return True


def _python() -> Path:
    if named := os.environ.get(PYTHON_VARIABLE):
        if not os.access(named, os.X_OK):
            raise BackendError(f"{PYTHON_VARIABLE} names {named}, which is no program.")
        return Path(named)
    if importlib.util.find_spec("ezkl") is None:
        raise BackendError("EZKL is not installed: `pip install proofmesh[ezkl]`.")
    return Path(sys.executable)


@contextmanager
def _workplace() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="proofmesh-ezkl-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reasons(source: ModelSource) -> tuple[str, ...]:
    """Return what of a source EZKL's statements cannot say."""
    settings = source.settings
    kinds = {each.visibility for each in settings.inputs}
    checks = (
        (source.format is Format.ONNX, f"it proves ONNX models, not {source.format.value} circuits."),
        (settings.output.reveal is Reveal.PUBLIC, f"it has no {settings.output.reveal.value} output."),
        (settings.weights.mode is WeightMode.CONSTANT, "private weights are not offered."),
        (len(kinds) == 1, "inputs must be all public or all private."),
        (all(each.encoding is Encoding.INTEGER for each in settings.inputs), "inputs must be numbers of fixed point."),
    )
    return tuple(reason for fit, reason in checks if not fit)


def _arguments(settings: ModelSettings) -> dict[str, object]:
    public = settings.inputs[0].visibility is Visibility.PUBLIC
    return {
        "input_visibility": "public" if public else "private",
        "output_visibility": "public",
        "param_visibility": "fixed",
        "input_scale": settings.fractional_bits,
        "param_scale": settings.weight_bits,
    }


def _samples(ranges: Sequence[InputRange]) -> list[list[float]]:
    """Return rows over the declared ranges, the ends among them; EZKL measures its ranges on them."""
    rows = []
    for sample in range(_CALIBRATION_SAMPLES):
        share = sample / (_CALIBRATION_SAMPLES - 1)
        rows.append([
            (each.low + share * (each.high - each.low)) / 2**each.scale for each in ranges for _ in range(each.count)
        ])  # fmt: skip
    return rows


def _reals(ranges: Sequence[InputRange], inputs: Sequence[int]) -> list[float]:
    """Return what the model sees; raises InputShapeError, InputTypeError, InputRangeError."""
    unsigned_inputs(ranges, inputs)
    scales = [each.scale for each in ranges for _ in range(each.count)]
    return [value / 2**scale for value, scale in zip(inputs, scales, strict=True)]


def _verifier_srs(path: Path) -> bytes:
    """Return the head of an SRS file with 2 points of its 2^k: all that a KZG verifier reads of it.

    The file: u32 k, 2^k powers, 2^k Lagrange points, then two points of G2.
    """
    with path.open("rb") as file:
        (k,) = struct.unpack("<I", file.read(4))
        size = _G1 << k
        if path.stat().st_size != 4 + 2 * size + _SRS_TAIL:
            raise KeyMaterialError("EZKL's SRS is in no known form.")
        parts = [struct.pack("<I", 1)]
        for start, length in ((4, 2 * _G1), (4 + size, 2 * _G1), (4 + 2 * size, _SRS_TAIL)):
            file.seek(start)
            parts.append(file.read(length))
    return b"".join(parts)


def _proof_json(proof: bytes, public_inputs: Sequence[int]) -> bytes:
    instances = [each.to_bytes(32, "little").hex() for each in public_inputs]
    return json.dumps({
        "protocol": None, "instances": [instances], "proof": list(proof), "hex_proof": "0x" + proof.hex(),
        "split": None, "pretty_public_inputs": None, "timestamp": None, "version": None,
    }).encode()  # fmt: skip


def _number(felt: str) -> int:
    return int.from_bytes(bytes.fromhex(felt), "little")
