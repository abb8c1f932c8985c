# SPDX-License-Identifier: GPL-3.0-or-later
"""Gas of both sides' Solidity verifiers on anvil: deployment, and one proof verified in a transaction of its own."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from contracts import bindings
from contracts.rpc import Rpc
from contracts.toolchain import SOLC_SHIM, foundry_binary, tool_environment

_COMPILE_S = 300
_LISTENING = re.compile(r"Listening on (\S+)")


def measure_gas(folder: Path) -> dict[str, Any]:
    """Return `deploy_gas` and `verify_gas` for `verifier.sol` and `calldata.bin` of a folder."""
    bytecode = compile_verifier((folder / "verifier.sol").read_text())
    calldata = "0x" + (folder / "calldata.bin").read_bytes().hex()
    with chain() as rpc:
        deployed = send(rpc, None, bytecode)
        verified = send(rpc, deployed["contractAddress"], calldata)
    return {
        "deploy_gas": int(deployed["gasUsed"], 16),
        "verify_gas": int(verified["gasUsed"], 16),
        "verifier_bytes": len(bytecode) // 2 - 1,
    }


def measure_groth16_gas(words: Sequence[int], public: Sequence[int], proof: bytes) -> dict[str, Any]:
    """Return the same for proofmesh's Groth16Verifier, which takes the verifying key as an argument."""
    with chain() as rpc:
        deployed = send(rpc, None, "0x" + bindings.deploy_verifier().hex())
        verified = send(rpc, deployed["contractAddress"], "0x" + bindings.verify(words, public, proof).hex())
    return {"deploy_gas": int(deployed["gasUsed"], 16), "verify_gas": int(verified["gasUsed"], 16)}


@contextmanager
def chain() -> Iterator[Rpc]:
    """Run anvil on a free port until the block is left; it takes code of any size."""
    command = [str(foundry_binary("anvil")), "--port", "0", "--code-size-limit", "1000000", "--gas-limit", "100000000"]
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=tool_environment(Path(home)))
        try:
            assert process.stdout is not None
            address = next(match[1] for line in process.stdout if (match := _LISTENING.search(line)))
            with Rpc(f"http://{address}") as rpc:
                yield rpc
        finally:
            process.terminate()
            process.wait()


def send(rpc: Rpc, to: str | None, data: str) -> dict[str, Any]:
    """Send from anvil's first account and return the receipt; a revert is an error."""
    sender = rpc.call("eth_accounts")[0]
    transaction = {"from": sender, "data": data, "gas": hex(50_000_000)} | ({"to": to} if to else {})
    digest = rpc.call("eth_sendTransaction", transaction)
    receipt: dict[str, Any] | None = None
    while receipt is None:
        receipt = rpc.call("eth_getTransactionReceipt", digest)
    if int(receipt["status"], 16) != 1:
        raise RuntimeError(f"The transaction to {to or 'a new contract'} failed.")
    return receipt


def compile_verifier(source: str) -> str:
    """Compile one file with solc-js and return the creation code as hex."""
    request = {
        "language": "Solidity",
        "sources": {"verifier.sol": {"content": source}},
        "settings": {
            "optimizer": {"enabled": True, "runs": 200},
            "outputSelection": {"*": {"*": ["evm.bytecode.object"]}},
        },
    }
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [str(SOLC_SHIM), "--standard-json"], input=json.dumps(request), capture_output=True, text=True,
            timeout=_COMPILE_S, env=tool_environment(Path(home)), check=True,
        )  # fmt: skip
    contracts = json.loads(done.stdout)["contracts"]["verifier.sol"]
    codes: list[str] = [each["evm"]["bytecode"]["object"] for each in contracts.values()]
    return "0x" + max(codes, key=len)
