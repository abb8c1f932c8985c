# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's state as bytes, so that a journal need not hold everything that ever led to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from market import client, prover, verifier
from protocol.codec import pack, unpack
from protocol.errors import NotCanonicalError

State = TypeVar("State", client.State, prover.State, verifier.State)

_NAMES: dict[type[Any], str] = {client.State: "client", prover.State: "prover", verifier.State: "verifier"}
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in _NAMES}
_SETTINGS: dict[type[Any], tuple[str, ...]] = {
    client.State: ("terms",),
    prover.State: ("network", "account", "payout", "tariff"),
    verifier.State: ("account", "least_fee", "settle_gas", "batch_wait", "batch_size"),
}
"""What a state has from the operator's settings, not from events."""
_MAP, _SET, _NUMBER = "~map", "~set", "~number"
_LARGEST = 2**63 - 1


def encode_state(state: client.State | prover.State | verifier.State) -> bytes:
    """Return the bytes of a state; `decode_state` gives it back."""
    kind = type(state)
    return pack([_NAMES[kind], _plain(_ADAPTERS[kind].dump_python(state))])


def decode_state(data: bytes, kind: type[State]) -> State:
    """Return the state of a machine. A field that these bytes do not know has its default.

    Raises:
        NotCanonicalError: `encode_state` did not write them, or for another machine.
    """
    value = unpack(data)
    if not (isinstance(value, tuple) and len(value) == 2 and value[0] == _NAMES[kind]):
        raise NotCanonicalError(f"A snapshot is not one of a {_NAMES[kind]}.")
    try:
        state: State = _ADAPTERS[kind].validate_python(_rich(value[1]))
    except (ValidationError, RecursionError, ValueError, TypeError):
        raise NotCanonicalError(f"A snapshot of a {_NAMES[kind]} has fields that are not valid.") from None
    return state


def read_plain(data: bytes) -> Any:
    """Return what a snapshot holds as maps, tuples and scalars, of whatever machine and version.

    Raises:
        NotCanonicalError: `encode_state` did not write these bytes.
    """
    value = unpack(data)
    try:
        return _rich(value)
    except (TypeError, ValueError, RecursionError):
        raise NotCanonicalError("A snapshot cannot be read.") from None


def with_settings(state: State, settings: State) -> State:
    """Return `state` under the settings of another one: what an operator changed holds from now on."""
    return replace(state, **{name: getattr(settings, name) for name in _SETTINGS[type(state)]})


def _plain(value: Any) -> Any:
    """Msgpack has string keys, integers of 64 bits and no sets: what is none of that is tagged."""
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value) and value:
            return {key: _plain(value[key]) for key in sorted(value)}
        return {_MAP: [[_plain(key), _plain(value[key])] for key in sorted(value)]}
    if isinstance(value, (set, frozenset)):
        return {_SET: [_plain(item) for item in sorted(value)]}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    if type(value) is int and not -_LARGEST <= value <= _LARGEST:
        return {_NUMBER: str(value)}
    return value


def _rich(value: Any) -> Any:
    if isinstance(value, dict):
        match tuple(value):
            case (tag,) if tag == _MAP:
                return {_rich(key): _rich(item) for key, item in value[_MAP]}
            case (tag,) if tag == _SET:
                return frozenset(_rich(item) for item in value[_SET])
            case (tag,) if tag == _NUMBER:
                return int(value[_NUMBER])
        return {key: _rich(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_rich(item) for item in value)
    return value
