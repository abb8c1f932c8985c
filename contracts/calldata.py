# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads settlements back from the call data of their transaction, so that receipts outlive any disk. No I/O."""

from __future__ import annotations

from contracts.abi import artifact
from contracts.packing import field_value, unpack
from contracts.records import Settlement
from protocol.eip712 import digest
from protocol.scalars import ZERO_HASH
from protocol.structs import Award, Network, Order

_WORD = 32


def decode_settlements(network: Network, data: bytes) -> tuple[Settlement, ...]:
    """Return the settlements of a call of `settle`, `settleVoided` or `settleBatch`, in its order.

    Read as the Escrow reads them: whoever sends a settlement chooses its encoding, and can hide nothing by that. A
    batch's skipped jobs are among them, with whatever they claim, perhaps of an order that another job of the batch
    settles: what was settled is what the chain has (node/receipt_store.py).

    Raises:
        ValueError: the data calls something else, or does not decode.
    """
    functions = artifact("Escrow").functions
    if data[:4] == functions["settleBatch"].selector:
        return tuple(job.settlement for job in unpack(network, *_argument(data[4:])))
    if data[:4] in (functions["settle"].selector, functions["settleVoided"].selector):
        return (_settlement(network, data[4:]),)
    raise ValueError("the call settles no order by a proof of its own")


def _argument(body: bytes) -> tuple[bytes, bytes]:
    """The one argument of type `bytes`, and what follows it in the call data."""
    at = _number(body, 0)
    argument = _tail(body, at, 1)
    return argument, body[at + _WORD + len(argument) :]


def _settlement(network: Network, body: bytes) -> Settlement:
    """The first argument; places and lengths are its sender's choice, and nobody looks at what pads bytes to words."""
    at = _number(body, 0)
    words = [body[place : place + _WORD].ljust(_WORD, b"\0") for place in range(at, at + 41 * _WORD, _WORD)]
    fields = zip(Order.model_fields, words[:23], strict=True)
    order = Order.model_validate({name: field_value(Order, name, word) for name, word in fields})
    chosen = {
        name: field_value(Award, name, word) for name, word in zip(Award.model_fields, words[23:30], strict=True)
    }
    if chosen["order_hash"] == ZERO_HASH:  # the Escrow fills it in
        chosen["order_hash"] = digest(network, order)
    outputs = _tail(body, at + int.from_bytes(words[39], "big"), _WORD)
    return Settlement(
        order=order,
        award=Award.model_validate(chosen),
        signature=_tail(body, at + int.from_bytes(words[30], "big"), 1),
        proof=b"".join(words[31:39]),
        outputs=tuple(_number(outputs, place) for place in range(0, len(outputs), _WORD)),
        settler=words[40][12:],
    )


def _number(body: bytes, at: int) -> int:
    return int.from_bytes(body[at : at + _WORD].ljust(_WORD, b"\0"), "big")


def _tail(body: bytes, at: int, size: int) -> bytes:
    """As many things of a size as the word at `at` says, from behind it."""
    length = _number(body, at) * size
    if at + _WORD + length > len(body):
        raise ValueError(f"{len(body)} bytes do not hold {length} of them from {at} on")
    return body[at + _WORD : at + _WORD + length]
