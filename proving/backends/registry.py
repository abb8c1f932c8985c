# SPDX-License-Identifier: GPL-3.0-or-later
"""The backends that are there: those of proofmesh, and those that installed packages register.

A package registers one by an entry point of the group `proofmesh.backends`: its name is the backend's, its value a
callable without arguments that gives a `Backend`. A backend of proofmesh cannot be replaced by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from protocol.errors import BackendError
from proving.backends.base import Backend

GROUP = "proofmesh.backends"


def _groth16() -> Backend:
    from proving.groth16.backend import backend

    return backend()


def _circom() -> Backend:
    from proving.backends.circom import backend

    return backend()


def _ezkl() -> Backend:
    from proving.backends.ezkl import backend

    return backend()


BUILT_IN: Mapping[str, Callable[[], Backend]] = {"groth16": _groth16, "circom": _circom, "ezkl": _ezkl}
"""A factory for each, which imports it when it is first asked for."""


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
    factories: dict[str, Callable[[], object]] = dict(BUILT_IN)
    for entry in sorted(registered, key=lambda each: (each.name, each.value)):
        if entry.name in factories:
            raise BackendError(f"{entry.value} registers the backend {entry.name!r}, which is already there.")
        factories[entry.name] = _registered(entry)
    return factories


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
