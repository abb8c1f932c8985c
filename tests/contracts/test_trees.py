# SPDX-License-Identifier: GPL-3.0-or-later
"""The branching trees beside the Solidity tests: every function has one, and every leaf names tests that exist."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from contracts.abi import ContractName, artifact
from contracts.toolchain import CHECKOUT

TREES: tuple[ContractName, ...] = ("Escrow", "Registry", "CreditGate", "TokenDesk", "EzklAdapter")
_BRANCH = re.compile(r"^([│ ]*)[├└]── (.*)$")


def lines(contract: ContractName) -> list[str]:
    return (CHECKOUT / "contracts" / "test" / f"{contract}.tree").read_text(encoding="utf-8").splitlines()


def leaves(contract: ContractName) -> list[str]:
    """The branches that no deeper one follows."""
    branches = [_BRANCH.match(line) for line in [*lines(contract), ""]]
    pairs = itertools.pairwise(branches)
    deeper = [(a, b is not None and a is not None and len(b[1]) > len(a[1])) for a, b in pairs]
    return [branch[2] for branch, inner in deeper if branch is not None and not inner]


def known_tests() -> set[str]:
    solidity = [path.read_text("utf-8") for path in (CHECKOUT / "contracts" / "test").glob("*.t.sol")]
    python = [path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    found = re.findall(r"function (test\w+)\(", "\n".join(solidity))
    return {*found, *re.findall(r"^def (test\w+)\(", "\n".join(python), re.MULTILINE)}


@pytest.mark.parametrize("contract", TREES)
def test_every_leaf_names_tests_that_exist(contract: ContractName) -> None:
    known, found = known_tests(), leaves(contract)
    assert found
    for leaf in found:
        named = re.search(r"\[([^\]]+)\]$", leaf)
        assert named, f"{contract}.tree: no test stands behind: {leaf}"
        missing = {name.strip() for name in named[1].split(",")} - known
        assert not missing, f"{contract}.tree names {missing}"


@pytest.mark.parametrize("contract", TREES)
def test_every_function_that_changes_something_has_a_tree(contract: ContractName) -> None:
    heads = [line for line in lines(contract) if line.startswith(f"{contract}::")]
    described = {name.strip() for head in heads for name in head.split("::")[1].split(",")}
    changing = {entry.name for entry in artifact(contract).functions.values() if entry.changes}
    assert changing <= described, changing - described
