# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypothesis strategies for every wire message, read off the models themselves."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Le, Lt, MaxLen, MinLen
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from protocol.messages import MESSAGE_KINDS, Hello, Message, OrderAnnouncement
from protocol.scalars import Record
from protocol.structs import OPEN_ORDER, RefusalTerms

LONGEST = 100
"""Longest string or byte string that is drawn where the model sets no exact length."""
MOST = 4
"""Most entries of an array that are drawn: eight long addresses could pass a message's cap."""

Drawn = st.SearchStrategy[Any]


def messages() -> st.SearchStrategy[Message]:
    """Any message of any kind."""
    return st.one_of([record(model) for model in MESSAGE_KINDS.values()])


def record(model: type[Record]) -> Drawn:
    """Any value of a model."""
    fields = {name: _field(field) for name, field in model.model_fields.items()}
    if model is RefusalTerms:
        fields["code"] = st.from_regex(r"PM-[A-Z]{2,5}-[0-9]{3}", fullmatch=True)
    drawn = st.fixed_dictionaries(fields)
    if model is OrderAnnouncement:
        drawn = drawn.map(_signed_if_open)
    if model is Hello:
        drawn = drawn.map(_signed_if_named)
    return drawn.map(model.model_validate)


def _signed_if_open(fields: dict[str, Any]) -> dict[str, Any]:
    is_open = fields["order"].kind == OPEN_ORDER
    return {**fields, "order_signature": bytes(65) if is_open else None}


def _signed_if_named(fields: dict[str, Any]) -> dict[str, Any]:
    account = fields["account"]
    if "verifier" in fields["roles"] and not any(account):
        account = b"\x01" * 20
    return {**fields, "account": account, "signature": bytes(65) if any(account) else None}


def _field(field: FieldInfo) -> Drawn:
    kind, bounds = field.annotation, field.metadata
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is tuple:
        item = FieldInfo.from_annotation(get_args(kind)[0])
        return st.lists(_field(item), max_size=MOST).map(tuple)
    if type(None) in get_args(kind):
        return st.none() | _field(FieldInfo.from_annotation(get_args(kind)[0]))
    if isinstance(kind, type) and issubclass(kind, Record):
        return record(kind)
    if kind is bool:
        return st.booleans()
    if kind is int:
        return _integers(bounds)
    low, high = _limit(bounds, MinLen, "min_length", 0), _limit(bounds, MaxLen, "max_length", LONGEST)
    high = max(low, min(high, LONGEST if low != high else high))
    return st.binary(min_size=low, max_size=high) if kind is bytes else st.text(min_size=low, max_size=high)


def _integers(bounds: list[Any]) -> Drawn:
    low = _limit(bounds, Ge, "ge", 0)
    high = min(_limit(bounds, Le, "le", 2**256), _limit(bounds, Lt, "lt", 2**256) - 1)
    return st.integers(low, high) | st.sampled_from([low, high])


def _limit(bounds: list[Any], kind: type, name: str, otherwise: int) -> int:
    found = [getattr(bound, name) for bound in bounds if isinstance(bound, kind)]
    return int(found[0]) if found else otherwise
