# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for the tracked files as files: licence lines, no machine paths, and lock files that lock."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE_SUFFIXES = {".py", ".sh", ".sol", ".js", ".mjs", ".ts", ".circom"}
SOURCE_NAMES = {"Makefile", ".ci/run"}
LOCKS = ["requirements/bootstrap.txt", "requirements/demo.txt", "requirements/dev.txt"]

# Put together from parts, so that this file keeps its own rules.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(home|root|Users|work|opt|mnt|srv)/[\w.]")
REGISTRY_HOST = re.compile("|".join(("pypi" + r"\.org", "python" + "hosted", "npm" + "js", r"//registry\.")))
PIN = re.compile(r"[a-z0-9-]+==[^\s;]+( ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")


def tracked() -> dict[str, str]:
    """Relative path and text of each tracked file of the checkout; binary files are left out."""
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    texts = {}
    for path in filter(None, listed.stdout.split("\0")):
        try:
            texts[path] = (ROOT / path).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
    return texts


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    found = tracked()
    assert "pyproject.toml" in found
    return found


def matches(texts: dict[str, str], pattern: re.Pattern[str]) -> list[str]:
    """`path:line: text` of each line in which the pattern occurs."""
    return [
        f"{path}:{number}: {line.strip()[:120]}"
        for path, text in texts.items()
        if pattern.search(text)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def pins(lock: str) -> dict[str, str]:
    """Version of each package in a lock file."""
    lines = (ROOT / lock).read_text("utf-8").splitlines()
    found = [line.split(" ", 1)[0].split("==") for line in lines if re.match(r"[a-z]", line)]
    assert len({name for name, _ in found}) == len(found), f"{lock} pins a package twice"
    return {name: version for name, version in found}


def test_every_source_file_names_its_licence(texts: dict[str, str]) -> None:
    sources = {p for p in texts if Path(p).suffix in SOURCE_SUFFIXES or p in SOURCE_NAMES}
    bare = [p for p in sources if "SPDX-License-Identifier: GPL-3.0-or-later" not in texts[p][:200]]
    assert sources and not bare, sorted(bare)


def test_no_file_names_a_folder_of_one_machine(texts: dict[str, str]) -> None:
    assert matches(texts, MACHINE_PATH) == []


def test_no_file_names_a_package_registry(texts: dict[str, str]) -> None:
    assert matches(texts, REGISTRY_HOST) == []


def test_nothing_is_left_for_later(texts: dict[str, str]) -> None:
    assert matches(texts, UNFINISHED) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (MACHINE_PATH, "cd " + "/home" + "/alice/proofmesh"),
        (MACHINE_PATH, 'path = "' + "/root" + '/.cache"'),
        (REGISTRY_HOST, "https://" + "pypi" + ".org/simple"),
        (UNFINISHED, "# TO" + "DO: later"),
    ],
)
def test_each_pattern_can_fail(pattern: re.Pattern[str], line: str) -> None:
    assert matches({"a": f"fine\n{line}\n"}, pattern) == [f"a:2: {line}"]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_python_lock_holds_pins_and_hashes_only(lock: str) -> None:
    lines = (ROOT / lock).read_text("utf-8").splitlines()
    known = [line for line in lines if line.startswith("#") or PIN.fullmatch(line) or HASH.fullmatch(line)]
    assert known == lines
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        assert not PIN.fullmatch(line) or HASH.fullmatch(following), f"{line} has no hash"


def test_the_demo_lock_is_part_of_the_dev_lock() -> None:
    assert pins("requirements/demo.txt").items() <= pins("requirements/dev.txt").items()


def test_the_bootstrap_lock_does_not_contradict_the_others() -> None:
    bootstrap, dev = pins("requirements/bootstrap.txt"), pins("requirements/dev.txt")
    assert {name: dev[name] for name in bootstrap.keys() & dev.keys()}.items() <= bootstrap.items()


def test_the_dev_lock_has_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = project["dependency-groups"]
    asked = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["train"]
    asked += [entry for entry in groups["dev"] + groups["demo"] if isinstance(entry, str)]
    locked = pins("requirements/dev.txt")
    for requirement in asked:
        name = re.match(r"[A-Za-z0-9-]+", requirement)
        assert name is not None and name[0].lower() in locked, f"{requirement} is not locked: run `make lock`"
        exact = re.search(r"==(.+)$", requirement)
        assert exact is None or locked[name[0].lower()] == exact[1], f"{requirement}: run `make lock`"


def test_the_node_lock_holds_versions_and_hashes_but_no_addresses() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text("utf-8"))
    manifest = json.loads((ROOT / "package.json").read_text("utf-8"))
    root = lock["packages"].pop("")
    assert root["dependencies"] == manifest["dependencies"]
    assert root["devDependencies"] == manifest["devDependencies"]
    for path, package in lock["packages"].items():
        assert package["integrity"].startswith("sha512-"), path
        assert "resolved" not in package, path
