# SPDX-License-Identifier: GPL-3.0-or-later
"""The folders are the architecture: who may import whom, and which code is pure (DESIGN.md section 2)."""

from __future__ import annotations

from pathlib import Path

import pytest
from import_rules import MAY_IMPORT, PURE_EXCEPTIONS, is_pure, violations

ROOT = Path(__file__).resolve().parents[2]
IMPURE_MODULES = [
    *("socket", "time", "datetime", "os", "random", "secrets", "trio", "asyncio", "threading", "pathlib"),
    *("subprocess", "sqlite3", "httpx", "web3", "libp2p", "logging", "sys", "uuid", "eth_account", "numpy"),
]


def modules() -> list[str]:
    """Every Python file of the seven packages, relative to the checkout."""
    found = [path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))]
    return [path.relative_to(ROOT).as_posix() for path in found]


def test_every_module_keeps_the_import_rules() -> None:
    broken = [line for path in modules() for line in violations(path, (ROOT / path).read_text("utf-8"))]
    assert not broken, "\n".join(broken)


def test_every_package_is_looked_at() -> None:
    assert {path.split("/", 1)[0] for path in modules()} == set(MAY_IMPORT)
    assert any(is_pure(path) for path in modules())


def test_the_rules_have_no_cycle() -> None:
    def reach(folder: str) -> set[str]:
        return set().union(*({below} | reach(below) for below in MAY_IMPORT[folder]))

    for folder in MAY_IMPORT:  # a cycle would end in RecursionError
        assert folder not in reach(folder)


def test_each_exception_is_still_needed() -> None:
    for path, packages in PURE_EXCEPTIONS.items():
        source = (ROOT / path).read_text("utf-8")
        for package in packages:
            assert f"from {package}" in source, f"{path} no longer imports {package}"


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("protocol/a.py", "import market.client"),
        ("protocol/a.py", "from market import client"),
        ("market/a.py", "from proving.backend import Backend"),
        ("market/a.py", "def f():\n    from node.chain import follower"),
        ("proving/a.py", "import market"),
        ("contracts/a.py", "import node"),
        ("contracts/a.py", "from proving import x"),
        ("node/a.py", "import sims.world"),
        ("node/cli/a.py", "from sims.cli import app"),
        ("node/cli/a.py", "from ...sims import cli"),
        ("node/a.py", "import importlib\nimportlib.import_module('sims.cli')"),
        ("node/a.py", "from importlib import import_module\nimport_module('si' + 'ms.cli')"),
        ("node/a.py", "__import__('sims')"),
        ("node/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sims import world"),
        ("sims/a.py", "import node"),
        ("sims/a.py", "from contracts import model"),
        ("sims/cluster/a.py", "from node.daemon import run"),
        ("node/a.py", "import proofmesh"),
        ("node/a.py", "from tests.support import x"),
        ("node/a.py", "import examples.demo"),
        ("proofmesh/client.py", "from sims import world"),
    ],
)
def test_the_checker_refuses_an_import_against_the_grain(path: str, source: str) -> None:
    assert violations(path, source)


@pytest.mark.parametrize(
    "source",
    [
        *(f"import {name}" for name in IMPURE_MODULES),
        "from os import path",
        "from time import monotonic as t",
        "def f():\n    import random",
        "from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey",
        "from contracts.deploy import deploy",
        "open('x')",
        "print('x')",
        "hash('x')",
        "key = Key.generate()",
    ],
)
@pytest.mark.parametrize("path", ["protocol/a.py", "market/deep/a.py", "contracts/model.py"])
def test_the_checker_refuses_io_clock_and_randomness(path: str, source: str) -> None:
    assert violations(path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("protocol/sealing.py", "from cryptography.hazmat.primitives.hpke import Suite"),
        ("protocol/a.py", "from pydantic import BaseModel\nfrom . import hashing"),
        ("market/a.py", "from collections.abc import Mapping\nfrom protocol.structs import Order"),
        ("market/a.py", "from market.events import Event\nfrom .effects import Effect"),
        ("contracts/model.py", "from protocol.structs import Order"),
        ("contracts/deploy.py", "import os\nimport web3\nfrom contracts.model import Escrow"),
        ("proving/a.py", "import numpy\nimport time\nfrom protocol.errors import ProofmeshError"),
        ("node/a.py", "import trio\nfrom market import client\nfrom contracts import deploy"),
        ("sims/a.py", "import random\nfrom market import client"),
        ("proofmesh/main.py", "from node.cli.app import app\nimport sims.cli\ndef main(): ..."),
        ("proofmesh/__init__.py", "from node.client import Client\n__all__ = ['Client']"),
    ],
)
def test_the_checker_lets_the_allowed_pass(path: str, source: str) -> None:
    assert violations(path, source) == []


@pytest.mark.parametrize("source", ["class Client: ...", "def prove(): ...", "async def prove(): ..."])
def test_the_public_face_only_re_exports(source: str) -> None:
    assert violations("proofmesh/__init__.py", source)
