# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line in this process: run a command, get its JSON; and small models for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from proving_models import exported

from node.cli.app import run


class Shell:
    """Commands over one data folder; no chain, no keystore."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capture = capture

    def __call__(self, *words: object, exit_code: int = 0) -> dict[str, Any]:
        """Run a command with --json and return the last object that it printed."""
        arguments = ["--json", "--data-dir", str(self.folder / "data"), *map(str, words)]
        self._capture.readouterr()
        found = run(arguments)
        said = self._capture.readouterr()
        assert found == exit_code, said.out + said.err
        assert "Traceback" not in said.out + said.err
        result: dict[str, Any] = json.loads(said.out.splitlines()[-1])
        return result

    def write(self, name: str, content: object) -> Path:
        """Write a file beside the data folder: bytes as they are, all else as JSON."""
        path = self.folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(json.dumps(content))
        return path

    def compiled(self, output: object, kind: str = "mlp", classes: int = 2, **more: object) -> str:
        """Compile a small model of four inputs and return its bundle's id."""
        model = self.write("model.onnx", exported(kind, classes))
        inputs = [{"name": f"x{i}", "low": -20, "high": 107} for i in range(4)]
        settings = self.write("settings.json", {"inputs": inputs, "output": output, **more})
        identity: str = self("model", "compile", model, settings)["bundle_id"]
        return identity.removeprefix("0x")
