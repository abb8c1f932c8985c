# SPDX-License-Identifier: GPL-3.0-or-later
"""The Circom compiler of the groth16py wheel, in a process of its own: a circuit's text is a stranger's.

A confined worker is that process already, and can make no other: there the compiler runs in it.

The child compiles and saves the engine's key, from which `circom_key_file` takes constraints and witness program.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import groth16py

from protocol.errors import BackendLimitError, MalformedCircuitError, ModelError
from proving.backends import circom_key_file, limited_process
from proving.constraints.system import ConstraintSystem

MEMORY_BYTES = 4 << 30
SECONDS = 300.0
_CHILD = """
import sys, groth16py
try:
    groth16py.setup_circom(sys.argv[1], [groth16py.circomlib_path(2)])[0].save(sys.argv[2])
except (groth16py.WitnessError, groth16py.SetupError) as error:
    sys.exit(str(error))
"""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_MESSAGE = 600


def compile_circuit(
    main: str, files: Mapping[str, str], *, memory_bytes: int = MEMORY_BYTES, seconds: float = SECONDS
) -> tuple[ConstraintSystem, bytes]:
    """Compile the file `main` among `files` (names without folders) and return constraints and WebAssembly.

    Raises:
        ModelError: the compiler refuses the circuit; its words are in the message.
        BackendLimitError: it took more memory or time than it may.
    """
    with tempfile.TemporaryDirectory(prefix="proofmesh-circom-") as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        key = folder / "circuit.key"
        if limited_process.is_confined():
            _compile_here(main, folder, key)
        else:
            _compile_in_child(main, folder, key, memory_bytes, seconds)
        data = key.read_bytes()
    try:
        return circom_key_file.read(data)
    except MalformedCircuitError as error:
        raise MalformedCircuitError(f"{error.args[0]} Is groth16py another version than 0.2.0?") from error


def _compile_in_child(main: str, folder: Path, key: Path, memory_bytes: int, seconds: float) -> None:
    name = str(folder)
    used = limited_process.run(
        [sys.executable, "-P", "-c", _CHILD, main, str(key)], memory_bytes=memory_bytes, seconds=seconds,
        environment={"HOME": name, "TMPDIR": name, "LANG": "C.UTF-8"}, folder=folder,
    )  # fmt: skip
    if used.end in (limited_process.End.MEMORY, limited_process.End.TIME):
        raise BackendLimitError(f"The Circom compiler was stopped at its limit of {used.end.value}.")
    if used.end is limited_process.End.FAILED or not key.is_file():
        raise ModelError(f"The circuit does not compile: {_said(used)}")


def _compile_here(main: str, folder: Path, key: Path) -> None:
    before = Path.cwd()
    os.chdir(folder)
    try:
        groth16py.setup_circom(main, [groth16py.circomlib_path(2)])[0].save(str(key))
    except (groth16py.WitnessError, groth16py.SetupError) as error:
        raise ModelError(f"The circuit does not compile: {str(error)[:_MESSAGE]}") from None
    finally:
        os.chdir(before)


def _said(used: limited_process.Usage) -> str:
    text = _COLOUR.sub("", used.output + "\n" + used.errors)
    return " ".join(text.split())[-_MESSAGE:]
