# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed transactions of EIP-1559: made from a call, and read back from their bytes."""

from __future__ import annotations

from dataclasses import dataclass

from eth_account import Account as EthAccount
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes

from node.chain.records import Call
from node.chain.store import SignedTransaction
from protocol.hashing import keccak256
from protocol.signing import Account


@dataclass(frozen=True)
class Fees:
    """Most wei per gas, in all and for the proposer."""

    cap: int
    tip: int

    def raised(self) -> Fees:
        """One eighth more: what a pool asks for before it replaces a transaction."""
        return Fees(self.cap + (self.cap + 7) // 8, self.tip + (self.tip + 7) // 8)

    def at_least(self, other: Fees) -> Fees:
        """The higher of each."""
        return Fees(max(self.cap, other.cap), max(self.tip, other.tip))


def sign(
    account: Account, chain_id: int, key: str, call: Call, *, nonce: int, attempt: int, gas: int, fees: Fees
) -> SignedTransaction:
    """Return the signed transaction of a call."""
    fields = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "gas": gas,
        "maxFeePerGas": fees.cap,
        "maxPriorityFeePerGas": fees.tip,
        "value": call.value,
        "data": call.data,
    }
    if call.to is not None:
        fields["to"] = to_checksum_address(call.to)
    done = EthAccount.sign_transaction(fields, account.secret())
    return SignedTransaction(
        key=key,
        sender=account.address,
        nonce=nonce,
        attempt=attempt,
        call=identity(call),
        hash=bytes(done.hash),
        raw=bytes(done.raw_transaction),
    )


def identity(call: Call) -> bytes:
    """Return what makes a call this call, for telling a reused key."""
    to = call.to if call.to is not None else b""
    return keccak256(len(to).to_bytes(1, "big") + to + call.value.to_bytes(32, "big") + call.data)


def read(raw: bytes) -> tuple[Call, Fees]:
    """Return the call (with its gas) and the fees of a signed transaction."""
    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    call = Call(
        to=bytes(fields["to"]) or None,
        data=bytes(fields["data"]),
        value=int(fields["value"]),
        gas=int(fields["gas"]),
    )
    return call, Fees(int(fields["maxFeePerGas"]), int(fields["maxPriorityFeePerGas"]))
