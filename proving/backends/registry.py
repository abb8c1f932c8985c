# SPDX-License-Identifier: GPL-3.0-or-later
"""The backends that are there: those of proofmesh, and those that installed packages register.

A package registers one by an entry point of the group `proofmesh.backends`: its name is the backend's, its value a
callable without arguments that gives a `Backend`. A backend of proofmesh cannot be replaced by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from protocol.errors import BackendError
from proving.backends.base import Backend

GROUP = "proofmesh.backends"
BUILT_IN: Mapping[str, str] = {
    "groth16": "proving.groth16.backend:backend",
    "circom": "proving.backends.circom:backend",
    "ezkl": "proving.backends.ezkl:backend",
}
"""Module and factory of each, imported when it is first asked for."""


def names() -> tuple[str, ...]:
    """Return the names of all backends, proofmesh's own first."""
    return tuple(_factories(entry_points(group=GROUP)))


def get(name: str) -> Backend:
    """Return a backend by name.

    Raises:
        BackendError: there is none, or what a package registered under the name is no backend.
    """
    return _load(name, _factories(entry_points(group=GROUP)))


def all_backends() -> tuple[Backend, ...]:
    """Return every backend; one that cannot be loaded is an error that names its package."""
    factories = _factories(entry_points(group=GROUP))
    return tuple(_load(name, factories) for name in factories)


def _factories(registered: Iterable[EntryPoint]) -> dict[str, Callable[[], object]]:
    factories: dict[str, Callable[[], object]] = {name: _built_in(path) for name, path in BUILT_IN.items()}
    for entry in sorted(registered, key=lambda each: (each.name, each.value)):
        if entry.name in factories:
            raise BackendError(f"{entry.value} registers the backend {entry.name!r}, which is already there.")
        factories[entry.name] = _registered(entry)
    return factories


def _built_in(path: str) -> Callable[[], object]:
    module, name = path.split(":")
    return lambda: getattr(import_module(module), name)()


def _registered(entry: EntryPoint) -> Callable[[], object]:
    return lambda: entry.load()()


def _load(name: str, factories: Mapping[str, Callable[[], object]]) -> Backend:
    if name not in factories:
        raise BackendError(f"There is no backend {name!r}; there are {', '.join(sorted(factories))}.")
    try:
        made = factories[name]()
    except (ImportError, AttributeError, TypeError) as error:
        raise BackendError(f"The backend {name!r} cannot be loaded: {error}.") from error
    if not isinstance(made, Backend) or made.name != name:
        raise BackendError(f"What is registered as the backend {name!r} is not one (proving/backends/base.py).")
    return made
