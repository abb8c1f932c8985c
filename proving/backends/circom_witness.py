# SPDX-License-Identifier: GPL-3.0-or-later
"""Witnesses of Circom circuits: the compiler's WebAssembly, run in wasmtime with bounded memory and time.

A stranger's circuit is a stranger's program. WebAssembly has no way out of its memory but the functions that it is
given, and it is given none that does anything; `wasmtime` (an optional extra) bounds instructions and memory.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from protocol.errors import BackendError, BackendLimitError, ProvingError
from protocol.scalars import BN254_SCALAR_ORDER as R

MEMORY_BYTES = 2 << 30
INSTRUCTIONS = 50_000_000_000
"""About a minute of work."""
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
_FIELD_WORDS = 8
_NO_SIGNAL = -1
_EXCEPTIONS = {
    1: "it has no such input", 2: "too many values for an input", 3: "an input was given twice",
    4: "an assertion in it does not hold for these inputs", 5: "it ran out of memory", 6: "an input is too long",
}  # fmt: skip


class WitnessProgram:
    """The compiled program of one circuit; making one takes about a second, running it milliseconds.

    Raises:
        BackendError: wasmtime is not installed, or the program is not one of Circom 2 over BN254.
    """

    def __init__(self, wasm: bytes) -> None:
        wasmtime = _wasmtime()
        config = wasmtime.Config()
        config.consume_fuel = True
        self._engine = wasmtime.Engine(config)
        try:
            self._module = wasmtime.Module(self._engine, wasm)
        except wasmtime.WasmtimeError as error:
            raise BackendError(f"The circuit's witness program cannot be loaded: {str(error)[:200]}.") from error

    def witness(self, inputs: Mapping[str, Sequence[int]]) -> list[int]:
        """Return the value of every wire for input signals given as flat lists of field elements.

        Raises:
            ProvingError: inputs are missing, or the circuit refuses them.
            BackendLimitError: the program needs more time or memory than it may have.
        """
        wasmtime = _wasmtime()
        store = wasmtime.Store(self._engine)
        store.set_limits(memory_size=MEMORY_BYTES)
        store.set_fuel(INSTRUCTIONS)
        run = _Run(wasmtime, self._engine, self._module, store)
        try:
            return run.witness(inputs)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            if run.refusal is not None:
                raise ProvingError(f"The circuit gives no witness: {run.refusal}.") from error
            said = str(error).strip()[-200:]
            raise BackendLimitError(f"The circuit's witness program was stopped: {said}.") from error


class _Run:
    """One run, by the interface of circom's witness_calculator.js."""

    def __init__(self, wasmtime: Any, engine: Any, module: Any, store: Any) -> None:
        self.refusal: str | None = None
        linker = wasmtime.Linker(engine)
        for each in module.imports:
            kind = each.type
            call = self._refuse if each.name == "exceptionHandler" else _nothing
            linker.define(store, each.module, each.name, wasmtime.Func(store, kind, call))
        exports = linker.instantiate(store, module).exports(store)
        self._store = store
        self._memory = exports["memory"]
        self._exports = exports
        self._shared = self._call("getSharedRWMemoryStart")

    def witness(self, inputs: Mapping[str, Sequence[int]]) -> list[int]:
        self._call("init", 1)
        self._check_field()
        given = 0
        for name, values in inputs.items():
            high, low = _name_hash(name)
            if self._call("getInputSignalSize", high, low) != len(values):
                raise ProvingError(f"The circuit's input {name!r} does not have {len(values)} elements.")
            for place, value in enumerate(values):
                self._write(value % R)
                self._call("setInputSignal", high, low, place)
                if self.refusal is not None:
                    raise ProvingError(f"The circuit gives no witness: {self.refusal}.")
            given += len(values)
        if given != self._call("getInputSize"):
            raise ProvingError(f"{given} of the circuit's {self._call('getInputSize')} inputs were given.")
        wires = []
        for wire in range(self._call("getWitnessSize")):
            self._call("getWitness", wire)
            wires.append(self._read())
        return wires

    def _call(self, name: str, *arguments: int) -> int:
        result: int = self._exports[name](self._store, *arguments)
        return result

    def _check_field(self) -> None:
        if self._call("getFieldNumLen32") != _FIELD_WORDS:
            raise BackendError("The circuit is not over BN254.")
        self._call("getRawPrime")
        if self._read() != R:
            raise BackendError("The circuit is not over BN254.")

    def _read(self) -> int:
        # Through the memory, since eight calls of `readSharedRWMemory` a wire would be most of the work.
        return int.from_bytes(self._memory.read(self._store, self._shared, self._shared + 4 * _FIELD_WORDS), "little")

    def _write(self, value: int) -> None:
        for place, word in enumerate(struct.unpack("<8i", value.to_bytes(32, "little"))):
            self._call("writeSharedRWMemory", place, word)

    def _refuse(self, code: int) -> None:
        self.refusal = _EXCEPTIONS.get(code, f"exception {code}")
        raise ProvingError(f"The circuit gives no witness: {self.refusal}.")


def _nothing(*_: object) -> None:
    return None


def _name_hash(name: str) -> tuple[int, int]:
    """FNV-1a of a signal's name in two signed 32-bit halves, most significant first."""
    digest = _FNV_OFFSET
    for byte in name.encode():
        digest = (digest ^ byte) * _FNV_PRIME % (1 << 64)
    high, low = struct.unpack(">ii", digest.to_bytes(8, "big"))
    return high, low


def _wasmtime() -> Any:
    try:
        import wasmtime
    except ImportError as error:
        raise BackendError("Circom circuits need wasmtime: `pip install proofmesh[circom]`.") from error
    return wasmtime
