# SPDX-License-Identifier: GPL-3.0-or-later
"""What the chain says of a receipt; the RPC is trusted for nothing but its word on the chain."""

from __future__ import annotations

from contracts import bindings
from contracts import events as chain_events
from contracts.records import Status
from node.chain.client import ChainClient
from node.chain.rpc import RpcClient
from node.receipt import Check, Receipt
from protocol.errors import ChainError
from protocol.statement import statement_hash


async def check_on_chain(receipt: Receipt, rpc_url: str) -> tuple[Check, ...]:
    """Return the checks that need the chain: its id, the transaction's event, the Escrow's state."""
    async with RpcClient(rpc_url) as rpc:
        client = ChainClient(rpc)
        chain_id = await client.chain_id()
        same = chain_id == receipt.network.chain_id
        first = Check(name="chain id", passed=same, detail=f"the RPC serves chain {chain_id}")
        if not same:
            return (first,)
        return (first, await _event(client, receipt), await _state(client, receipt))


async def _event(client: ChainClient, receipt: Receipt) -> Check:
    mined = await client.receipt(receipt.transaction_hash)
    found = False
    if mined is not None and mined.succeeded:
        for log in mined.logs:
            if log.address != receipt.network.escrow:
                continue
            event = chain_events.decode_event(log.topics, log.data)
            if isinstance(event, chain_events.Settled) and event.order_hash == receipt.order_hash:
                found = event.outputs == receipt.outputs and event.payment.payout == receipt.award.payout
    return Check(
        name="transaction settled this order",
        passed=found,
        detail=f"0x{receipt.transaction_hash.hex()}" + ("" if mined else " is unknown"),
    )


async def _state(client: ChainClient, receipt: Receipt) -> Check:
    expected = statement_hash(receipt.order.program_id, receipt.public_inputs())[:31]
    try:
        data = await client.call(receipt.network.escrow, bindings.state_of(receipt.order_hash))
        state = bindings.decode_state(data)
    except (ChainError, ValueError):
        return Check(name="Escrow holds this statement", passed=False, detail="the Escrow does not answer")
    passed = state.status is Status.SETTLED and state.content == expected
    return Check(name="Escrow holds this statement", passed=passed, detail=state.status.name.lower())
