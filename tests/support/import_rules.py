# SPDX-License-Identifier: GPL-3.0-or-later
"""The import rules of DESIGN.md section 2, as a checker over syntax trees.

`violations(path, source)` says in words what one module does that its folder may not. Imports under
`if TYPE_CHECKING` and inside functions count as well; so do `import_module("...")` and relative imports.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath

MAY_IMPORT: dict[str, frozenset[str]] = {
    "protocol": frozenset(),
    "market": frozenset({"protocol"}),
    "proving": frozenset({"protocol"}),
    "contracts": frozenset({"protocol"}),
    "node": frozenset({"protocol", "market", "proving", "contracts"}),
    "sims": frozenset({"protocol", "market"}),
    "proofmesh": frozenset({"protocol", "market", "proving", "contracts", "node", "sims"}),
}
"""Which other folders a folder may import. `proofmesh` alone sees both node and sims; nothing imports it."""

ROOTS = frozenset(MAY_IMPORT) | {"tests", "examples", "benchmarks", "scripts", "docs"}
"""What counts as ours; of these, only the keys of MAY_IMPORT may be imported at all."""

PURE_STDLIB = frozenset({
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "contextlib", "copy",
    "dataclasses", "enum", "fractions", "functools", "hashlib", "heapq", "hmac", "itertools", "json",
    "math", "numbers", "operator", "re", "string", "struct", "types", "typing",
})
PURE_LIBRARIES = frozenset({
    "annotated_types", "eth_abi", "eth_hash", "eth_keys", "eth_utils", "msgpack", "pydantic",
    "pydantic_core", "typing_extensions",
})
PURE_ALLOWED = PURE_STDLIB | PURE_LIBRARIES
"""All that pure code may import from outside. What is not here is refused, so a new clock cannot slip in."""

PURE_EXCEPTIONS: dict[str, frozenset[str]] = {
    # HPKE encapsulation draws its ephemeral key inside the library; the standard asks for that, and a caller
    # who could choose it could also repeat it.
    "protocol/sealing.py": frozenset({"cryptography"}),
}

PURE_PREFIXES = ("protocol/", "market/", "contracts/model/")
PURE_FILES = frozenset({"contracts/__init__.py", "contracts/model.py"})

IMPURE_BUILTINS = frozenset({"open", "input", "print", "breakpoint", "eval", "exec", "hash", "id"})
"""Builtins that reach the world, or whose result differs from process to process (`hash`, `id`)."""

IMPURE_METHODS = frozenset({"generate", "urandom", "token_bytes", "read_text", "read_bytes", "write_text"})
"""Methods that draw randomness or touch files, whatever they are called on."""

PUBLIC_FUNCTIONS = frozenset({"main", "__getattr__", "__dir__"})
"""All that the public face may define besides re-exports."""


def is_pure(path: str) -> bool:
    """Whether the file (relative, with forward slashes) must do no I/O, read no clock, draw no randomness."""
    return path.startswith(PURE_PREFIXES) or path in PURE_FILES


def violations(path: str, source: str) -> list[str]:
    """Each rule that the module breaks, as `path:line: what`; empty when it keeps them all."""
    tree = ast.parse(source, filename=path)
    checks = [_layer_violations(path, tree)]
    if is_pure(path):
        checks.append(_purity_violations(path, tree))
    if path.startswith("proofmesh/"):
        checks.append(_face_violations(tree))
    return [f"{path}:{line}: {what}" for check in checks for line, what in check]


def _layer_violations(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    folder = path.split("/", 1)[0]
    for line, module in _imports(path, tree):
        root = module.split(".", 1)[0]
        if not root:
            yield line, "imports a module by a computed name"
        elif root in ROOTS and root != folder and root not in MAY_IMPORT[folder]:
            yield line, f"{folder} may not import {root} ({module})"
        elif root == "sims" and folder == "proofmesh" and path != "proofmesh/main.py":
            yield line, "only proofmesh/main.py mounts the simulator"


def _purity_violations(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    allowed = PURE_ALLOWED | PURE_EXCEPTIONS.get(path, frozenset())
    for line, module in _imports(path, tree):
        root = module.split(".", 1)[0]
        if root in MAY_IMPORT:
            if not (root in {"protocol", "market"} or module.startswith("contracts.model")):
                yield line, f"pure code imports {module}, which is not pure"
        elif root not in allowed:
            yield line, f"pure code imports {module}, which is not on the allow-list"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in IMPURE_BUILTINS:
            yield node.lineno, f"pure code calls {node.func.id}()"
        if isinstance(node.func, ast.Attribute) and node.func.attr in IMPURE_METHODS:
            yield node.lineno, f"pure code calls .{node.func.attr}()"


def _face_violations(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.lineno, f"proofmesh only re-exports, but defines class {node.name}"
        named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if named and node.name not in PUBLIC_FUNCTIONS:  # type: ignore[attr-defined]
            yield node.lineno, f"proofmesh only re-exports, but defines {node.name}()"  # type: ignore[attr-defined]


def _imports(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of each import; the name is empty where it is computed at run time."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(path, node)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}" if base else alias.name
        elif isinstance(node, ast.Call) and _called_name(node) in {"import_module", "__import__"}:
            argument = node.args[0] if node.args else None
            literal = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            yield node.lineno, argument.value if literal else ""  # type: ignore[union-attr]


def _absolute(path: str, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    package = PurePosixPath(path).parent.parts
    parts = package[: len(package) - (node.level - 1)]
    return ".".join((*parts, *(node.module.split(".") if node.module else ())))


def _called_name(node: ast.Call) -> str:
    if isinstance(node.func, ast.Name):
        return node.func.id
    return node.func.attr if isinstance(node.func, ast.Attribute) else ""
