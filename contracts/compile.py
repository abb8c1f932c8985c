# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds contracts/artifacts from contracts/src with solc-js: `python -m contracts.compile [--check]`.

The artifacts are committed, so that nobody who uses the package needs a compiler. They are the same on
every machine: sources go to the compiler by their import names, metadata is off, keys are sorted.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from contracts.toolchain import CHECKOUT, SOLC_SHIM, SOURCES, tool_environment
from protocol.errors import CompileError, ToolMissingError
from protocol.hashing import keccak256

CONTRACTS = ("Escrow", "Registry", "Groth16Verifier", "TokenDesk", "CreditGate", "PeerDirectory", "EzklAdapter")
ARTIFACTS = CHECKOUT / "contracts" / "artifacts"
SETTINGS: Mapping[str, Any] = {
    "evmVersion": "cancun",
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
    "optimizer": {"enabled": True, "runs": 1000},
    "viaIR": True,
}
EIP170_LIMIT = 24_576
"""Largest code of a contract, in bytes (EIP-170)."""
_IMPORT = re.compile(r'^import\s[^"]*"([^"]+)";', re.MULTILINE)
_SECONDS = 300
_WANTED = (
    "abi",
    "evm.bytecode.object",
    "evm.deployedBytecode.object",
    "evm.deployedBytecode.immutableReferences",
)
_TRANSIENT_STORAGE = "2394"
"""Warning that the compiler gives whenever EIP-1153 is used; OpenZeppelin's guard clears its slot."""


def build() -> dict[str, str]:
    """Return the text of each artifact by contract name.

    Raises:
        ToolMissingError: Node.js or solc-js is not installed.
        CompileError: the compiler reports an error or a warning, or a contract is too large.
    """
    output = compile_sources(sources())
    return {name: _artifact(name, output) for name in CONTRACTS}


def main(arguments: list[str]) -> int:
    """Write the artifacts, or with `--check` only say whether they are current (0) or not (1)."""
    texts = build()
    stale = [name for name, text in texts.items() if _committed(name) != text]
    if "--check" in arguments:
        print("stale: " + ", ".join(stale) if stale else "contracts/artifacts are current")
        return 1 if stale else 0
    ARTIFACTS.mkdir(exist_ok=True)
    for name, text in texts.items():
        (ARTIFACTS / f"{name}.json").write_text(text, encoding="utf-8")
        print(f"{name}: {json.loads(text)['size']} bytes")
    return 0


def _committed(name: str) -> str | None:
    path = ARTIFACTS / f"{name}.json"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def sources() -> dict[str, str]:
    """Return every source by the name under which the compiler knows it, imports followed."""
    found: dict[str, str] = {}
    waiting = [f"src/{name}.sol" for name in CONTRACTS]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = _read(name)
        waiting += [_resolve(name, target) for target in _IMPORT.findall(found[name])]
    return found


def _read(name: str) -> str:
    path = SOURCES.parent / name if name.startswith("src/") else CHECKOUT / "node_modules" / name
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ToolMissingError(f"The Solidity source {name} is missing.") from error


def _resolve(importer: str, target: str) -> str:
    if not target.startswith("."):
        return target
    parts: list[str] = []
    for part in (PurePosixPath(importer).parent / target).parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def compile_sources(sources: Mapping[str, str], wanted: Sequence[str] = _WANTED) -> dict[str, Any]:
    """Return what solc-js says of sources by their import names, with the settings of the artifacts: syntax trees,
    and what is wanted of each contract."""
    request = {
        "language": "Solidity",
        "sources": {name: {"content": sources[name]} for name in sorted(sources)},
        "settings": {
            **SETTINGS,
            "outputSelection": {"*": {"*": list(wanted), "": ["ast"]}},
        },
    }
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [str(SOLC_SHIM), "--standard-json"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env=tool_environment(Path(home)),
        )
    if done.returncode != 0:
        raise CompileError(f"solc-js ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    output: dict[str, Any] = json.loads(done.stdout)
    reported = output.get("errors", ())
    problems = [entry["formattedMessage"] for entry in reported if entry["errorCode"] != _TRANSIENT_STORAGE]
    if problems:
        raise CompileError("\n".join(problems))
    return output


def _artifact(name: str, output: Mapping[str, Any]) -> str:
    contract = output["contracts"][f"src/{name}.sol"][name]
    deployed = bytes.fromhex(contract["evm"]["deployedBytecode"]["object"])
    if len(deployed) > EIP170_LIMIT:
        raise CompileError(f"{name} has {len(deployed)} bytes of code, more than EIP-170 allows.")
    artifact = {
        "contract": name,
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        # Immutables are zero in it; on-chain their words stand at these places of the code.
        "deployedBytecodeHash": "0x" + keccak256(deployed).hex(),
        "immutables": _immutables(contract, output),
        "size": len(deployed),
        "compiler": {"name": "solc", "version": _solc_version(), "settings": SETTINGS},
    }
    return json.dumps(artifact, indent=1, sort_keys=True) + "\n"


def _immutables(contract: Mapping[str, Any], output: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return by name of the variable where its words (32 bytes each) stand in the deployed code."""
    places = contract["evm"]["deployedBytecode"]["immutableReferences"]
    names = {node["id"]: node["name"] for source in output["sources"].values() for node in _variables(source["ast"])}
    return {names[int(key)]: sorted(place["start"] for place in found) for key, found in places.items()}


def _variables(node: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the state variables of a syntax tree."""
    for part in node.get("nodes", ()):
        if part["nodeType"] == "VariableDeclaration":
            yield part
        yield from _variables(part)


def _solc_version() -> str:
    package = CHECKOUT / "node_modules" / "solc" / "package.json"
    return str(json.loads(package.read_text(encoding="utf-8"))["version"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
