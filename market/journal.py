# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of events and effects for the journal: canonical msgpack of a type name and its fields.

A field that a later version added has its default in a record that an earlier one wrote.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from market.effects import EFFECTS, Effect
from market.events import CLIENT_EVENTS, PROVER_EVENTS, VERIFIER_EVENTS, Event
from protocol.codec import pack, plain, unpack
from protocol.errors import NotCanonicalError

_EVENTS = {kind.__name__: kind for kind in CLIENT_EVENTS + PROVER_EVENTS + VERIFIER_EVENTS}
_EFFECTS = {kind.__name__: kind for kind in EFFECTS}
_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(kind) for name, kind in (_EVENTS | _EFFECTS).items()
}

T = TypeVar("T")


def encode(value: Event | Effect) -> bytes:
    """Return the bytes of an event or effect; `decode_*` gives it back."""
    return pack([type(value).__name__, plain(_ADAPTERS[type(value).__name__].dump_python(value))])


def decode_event(data: bytes) -> Event:
    """Return the event of these bytes. Raises NotCanonicalError if `encode` did not write them."""
    return _decode(data, _EVENTS)


def decode_effect(data: bytes) -> Effect:
    """Return the effect of these bytes. Raises NotCanonicalError if `encode` did not write them."""
    return _decode(data, _EFFECTS)


def _decode(data: bytes, kinds: dict[str, type[T]]) -> T:
    value = unpack(data)
    name = value[0] if isinstance(value, tuple) and len(value) == 2 else None
    if not (isinstance(name, str) and name in kinds):
        raise NotCanonicalError("A journal record has an unknown type.")
    try:
        decoded: T = _ADAPTERS[name].validate_python(value[1])
    except (ValidationError, RecursionError) as error:
        raise NotCanonicalError("A journal record has fields that are not valid.") from error
    dumped = plain(_ADAPTERS[name].dump_python(decoded))
    if not value[1].keys() <= dumped.keys() or pack([name, {key: dumped[key] for key in sorted(value[1])}]) != data:
        raise NotCanonicalError("A journal record is not in its canonical form.")
    return decoded
