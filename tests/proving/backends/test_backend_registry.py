# SPDX-License-Identifier: GPL-3.0-or-later
"""Backends are found by name; a third party's comes by an entry point and cannot take a name that is taken."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from protocol.errors import BackendError
from proving.backends import registry


def _register(monkeypatch: pytest.MonkeyPatch, *entries: tuple[str, str]) -> None:
    made = [EntryPoint(name, value, registry.GROUP) for name, value in entries]
    monkeypatch.setattr(registry, "entry_points", lambda group: made if group == registry.GROUP else [])


def test_a_registered_backend_is_found_after_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    _register(monkeypatch, ("pretend", "proving_backends:pretend"))
    assert registry.names() == (*registry.BUILT_IN, "pretend")
    assert registry.get("pretend").name == "pretend"


def test_an_unknown_name_is_an_error_that_lists_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    _register(monkeypatch)
    with pytest.raises(BackendError, match="groth16"):
        registry.get("plonk")


def test_nobody_replaces_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    _register(monkeypatch, ("groth16", "proving_backends:pretend"))
    with pytest.raises(BackendError, match="already there"):
        registry.get("groth16")


@pytest.mark.parametrize(
    "value",
    ["no_such_module:backend", "proving_backends:no_such_name", "proving_backends:source", "math:pi"],
)
def test_what_is_no_backend_is_an_error(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    _register(monkeypatch, ("broken", value))
    with pytest.raises(BackendError):
        registry.get("broken")


def test_a_backend_under_another_name_than_its_own_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _register(monkeypatch, ("other", "proving_backends:pretend"))
    with pytest.raises(BackendError):
        registry.get("other")
