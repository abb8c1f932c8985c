# SPDX-License-Identifier: GPL-3.0-or-later
"""Gas of the Escrow's calls, from receipts of real transactions with real proofs on anvil."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from escrow_market import ETHER, account, market

from contracts import bindings


def measure_gas() -> dict[str, int]:
    """Return gas used: direct settlement, lock, locked settlement, expire (warm accounts, one output)."""
    client, prover, verifier = map(account, ("client", "prover", "verifier"))
    with market(("client", "prover", "verifier")) as chain:
        for each in (client, prover, verifier):
            chain.send(each, bindings.deposit(), ETHER)
        order = chain.order(client.address, 1)
        award = chain.award(order, prover.address)
        settlement = chain.settlement(client, order, award, verifier.address)
        measured = {"settle": chain.send(verifier, bindings.settle(settlement))}
        for salt, end in ((2, "settle_locked"), (3, "expire")):
            order = chain.order(client.address, salt)
            award = chain.award(order, prover.address)
            signature = client.sign(chain.network, award)
            measured["lock"] = chain.send(prover, bindings.lock(order, award, signature))
            settlement = chain.settlement(client, order, award, verifier.address)
            if end == "settle_locked":
                measured[end] = chain.send(verifier, bindings.settle(settlement))
            else:
                chain.set_time(order.final_by + 1)
                measured[end] = chain.send(verifier, bindings.expire(order, award))
    return {name: _gas(receipt) for name, receipt in measured.items()}


def _gas(receipt: Mapping[str, Any]) -> int:
    return int(receipt["gasUsed"], 16)
