# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads settlements back from the call data of their transaction, so that receipts outlive any disk. No I/O."""

from __future__ import annotations

from contracts.abi import artifact, decode_values
from contracts.bindings import award_from_tuple, order_from_tuple
from contracts.packing import unpack
from contracts.records import Settlement
from protocol.structs import Network


def decode_settlements(network: Network, data: bytes) -> tuple[Settlement, ...]:
    """Return the settlements of a call of `settle`, `settleVoided` or `settleBatch`, in its order.

    A batch's skipped jobs are among them: the events say which orders were settled.

    Raises:
        ValueError: the data calls something else, or does not decode.
    """
    functions = artifact("Escrow").functions
    if data[:4] == functions["settleBatch"].selector:
        (packed,) = decode_values(functions["settleBatch"].inputs, data[4:])
        return tuple(job.settlement for job in unpack(network, packed))
    for name in ("settle", "settleVoided"):
        entry = functions[name]
        if data[:4] == entry.selector:
            order, award, signature, proof, outputs, settler = decode_values(entry.inputs, data[4:])[0]
            return (
                Settlement(
                    order=order_from_tuple(order),
                    award=award_from_tuple(award),
                    signature=signature,
                    proof=b"".join(word.to_bytes(32, "big") for word in proof),
                    outputs=tuple(outputs),
                    settler=settler,
                ),
            )
    raise ValueError("the transaction does not settle an order by a call of its own")
