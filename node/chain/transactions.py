# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends transactions of one account, each once, however often the process dies.

The caller names each transaction by a key. It is signed and journalled raw before it is broadcast, so
the key finds the same transaction after a restart. It is broadcast again until it is mined; when stuck
it is replaced by one with the same nonce and a higher fee, and whichever is mined counts.
One sender owns the account's nonces: use the key in one process only.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
import trio
from eth_account import Account as EthAccount
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes

from node.chain.client import ChainClient
from node.chain.records import Call, Receipt, hex_of
from node.chain.store import SignedTransaction, TransactionStore
from protocol.errors import (
    ChainError,
    InsufficientFundsError,
    NonceTakenError,
    RevertedError,
    RpcDownError,
    RpcRefusedError,
    RpcTimeoutError,
    TransactionKeyReusedError,
    TransactionRevertedError,
    TransactionTimeoutError,
)
from protocol.hashing import keccak256
from protocol.signing import Account

_log = structlog.get_logger("proofmesh.chain")


@dataclass(frozen=True)
class SendingPolicy:
    """How patient a sender is, in seconds, and what it pays at most per gas, in wei."""

    poll_s: float = 0.5
    rebroadcast_s: float = 5.0
    stuck_s: float = 30.0
    timeout_s: float = 300.0
    confirmations: int = 1
    fee_cap_wei: int = 10**12


@dataclass(frozen=True)
class _Fees:
    cap: int
    tip: int


class TransactionSender:
    """The one owner of an account's nonces on one chain."""

    def __init__(
        self,
        client: ChainClient,
        account: Account,
        chain_id: int,
        store: TransactionStore,
        policy: SendingPolicy | None = None,
    ) -> None:
        self._client = client
        self._account = account
        self._chain_id = chain_id
        self._store = store
        self._policy = policy or SendingPolicy()
        self._signing = trio.Lock()
        self._next_nonce = 0

    async def resume(self) -> None:
        """Broadcast again all that is not known to be mined, lowest nonce first: no gap stays."""
        last: dict[str, SignedTransaction] = {s.key: s for s in self._store.unfinished(self._account.address)}
        for signed in last.values():
            await self._broadcast(signed)

    async def send(self, key: str, call: Call) -> Receipt:
        """Send a transaction once and return its receipt; a known key is followed, not sent anew.

        Raises:
            RevertedError: it would revert now; nothing was sent.
            TransactionRevertedError: it was mined and reverted.
            InsufficientFundsError: the account cannot pay for it; nothing was sent.
            TransactionTimeoutError: not mined within the policy's time; call again to go on.
            TransactionKeyReusedError: the key names another transaction.
            NonceTakenError: another program used the nonce.
            ChainError: the RPC could not be asked before anything was signed.
        """
        identity = _identity(call)
        async with self._signing:
            attempts = self._store.attempts(key)
            if not attempts:
                attempts = [await self._sign_first(key, call, identity)]
        if attempts[0].call != identity:
            raise TransactionKeyReusedError(f"The key {key} names another transaction.")
        with trio.move_on_after(self._policy.timeout_s):
            receipt = await self._follow(key, call, attempts)
            self._store.finish(key)
            return await self._outcome(call, receipt)
        raise TransactionTimeoutError(
            f"The transaction {hex_of(attempts[-1].hash)} was not mined in {self._policy.timeout_s:g} s."
        )

    async def _sign_first(self, key: str, call: Call, identity: bytes) -> SignedTransaction:
        gas = call.gas if call.gas is not None else await self._estimate(call)
        fees = await self._fees()
        cost, owned = call.value + gas * fees.cap, await self._client.balance(self._account.address)
        if owned < cost:
            raise InsufficientFundsError(
                f"The account {hex_of(self._account.address)} has {owned} wei and may need {cost}."
            )
        nonce = max(self._next_nonce, await self._free_nonce())
        signed = self._sign(key, call, identity, nonce=nonce, attempt=0, gas=gas, fees=fees)
        self._store.add(signed)
        self._next_nonce = nonce + 1
        return signed

    async def _estimate(self, call: Call) -> int:
        try:
            # A fifth more: state may change before it is mined (EIP-150 keeps 1/64 of every sub-call).
            return await self._client.estimate_gas(self._account.address, call) * 6 // 5
        except RpcRefusedError as error:
            if "insufficient funds" in error.message.lower():
                address = hex_of(self._account.address)
                raise InsufficientFundsError(f"The account {address} cannot pay the value and gas.") from None
            raise

    async def _free_nonce(self) -> int:
        mined = await self._client.nonce(self._account.address)
        signed = self._store.unfinished(self._account.address)
        return max([mined, *(s.nonce + 1 for s in signed)])

    async def _fees(self) -> _Fees:
        head = await self._client.header("latest")
        base = head.base_fee if head is not None else 0
        tip = await self._client.tip()
        cap = min(2 * base + tip, self._policy.fee_cap_wei)
        return _Fees(cap, min(tip, cap))

    def _sign(
        self, key: str, call: Call, identity: bytes, *, nonce: int, attempt: int, gas: int, fees: _Fees
    ) -> SignedTransaction:
        fields = {
            "type": 2,
            "chainId": self._chain_id,
            "nonce": nonce,
            "gas": gas,
            "maxFeePerGas": fees.cap,
            "maxPriorityFeePerGas": fees.tip,
            "value": call.value,
            "data": call.data,
        }
        if call.to is not None:
            fields["to"] = to_checksum_address(call.to)
        done = EthAccount.sign_transaction(fields, self._account.secret())
        return SignedTransaction(
            key=key,
            sender=self._account.address,
            nonce=nonce,
            attempt=attempt,
            call=identity,
            hash=bytes(done.hash),
            raw=bytes(done.raw_transaction),
        )

    async def _follow(self, key: str, call: Call, attempts: list[SignedTransaction]) -> Receipt:
        """Broadcast and poll until an attempt is mined deep enough."""
        broadcast_at, stuck_at = -1.0, trio.current_time() + self._policy.stuck_s
        while True:
            try:
                if receipt := await self._mined(attempts):
                    if await self._deep_enough(receipt):
                        return receipt
                elif trio.current_time() >= broadcast_at:
                    await self._require_own_nonce(attempts)
                    await self._broadcast(attempts[-1])
                    broadcast_at = trio.current_time() + self._policy.rebroadcast_s
                    if receipt := await self._mined(attempts):
                        continue
                if receipt is None and trio.current_time() >= stuck_at:
                    attempts = await self._replace(key, call, attempts)
                    broadcast_at, stuck_at = -1.0, trio.current_time() + self._policy.stuck_s
                    continue
            except (RpcDownError, RpcTimeoutError) as error:
                _log.warning("chain not reachable, the transaction waits", transaction=key, code=error.code)
            await trio.sleep(self._policy.poll_s)

    async def _mined(self, attempts: list[SignedTransaction]) -> Receipt | None:
        for signed in reversed(attempts):
            if receipt := await self._client.receipt(signed.hash):
                return receipt
        return None

    async def _deep_enough(self, receipt: Receipt) -> bool:
        if self._policy.confirmations <= 1:
            return True
        head = await self._client.header("latest")
        return head is not None and head.number + 1 >= receipt.block_number + self._policy.confirmations

    async def _require_own_nonce(self, attempts: list[SignedTransaction]) -> None:
        mined = await self._client.nonce(self._account.address)
        # Mined by one of ours between two questions is fine: the receipts are asked again after.
        if mined > attempts[0].nonce and await self._mined(attempts) is None:
            raise NonceTakenError(f"Nonce {attempts[0].nonce} was used by a transaction of another program.")

    async def _broadcast(self, signed: SignedTransaction) -> None:
        try:
            await self._client.send_raw(signed.raw)
        except RpcRefusedError as error:
            # Known, already mined or underpriced: the receipts and the next round decide.
            _log.debug("broadcast not taken", transaction=signed.key, reason=error.message)

    async def _replace(
        self, key: str, call: Call, attempts: list[SignedTransaction]
    ) -> list[SignedTransaction]:
        """Sign the same with a fee one eighth higher, or today's if that is more; up to the cap."""
        before, gas = _fees_of(attempts[-1].raw)
        today = await self._fees()
        fees = _Fees(max(_raised(before.cap), today.cap), max(_raised(before.tip), today.tip))
        if fees.cap > self._policy.fee_cap_wei:
            _log.warning("transaction stuck at the highest fee allowed", transaction=key)
            return attempts
        first = attempts[0]
        signed = self._sign(
            key, call, first.call, nonce=first.nonce, attempt=len(attempts), gas=gas, fees=fees
        )
        self._store.add(signed)
        _log.info("transaction stuck, fee raised", transaction=key, fee_wei=fees.cap)
        return [*attempts, signed]

    async def _outcome(self, call: Call, receipt: Receipt) -> Receipt:
        if receipt.succeeded:
            return receipt
        # Replayed where it failed, to learn why; the state before it may differ within the block.
        why = await self._why(call, receipt)
        reason = why.message if why is not None else "The contract refused, no reason is known."
        raise TransactionRevertedError(
            f"The transaction {hex_of(receipt.transaction_hash)} reverted. {reason}",
            data=why.data if why is not None else b"",
        )

    async def _why(self, call: Call, receipt: Receipt) -> RevertedError | None:
        for block in (receipt.block_number - 1, receipt.block_number):
            try:
                if why := await self._client.replay(self._account.address, call, block):
                    return why
            except ChainError:
                continue
        return None


def _identity(call: Call) -> bytes:
    """Return what makes a call this call, for telling a reused key."""
    to = call.to if call.to is not None else b""
    return keccak256(len(to).to_bytes(1, "big") + to + call.value.to_bytes(32, "big") + call.data)


def _raised(fee: int) -> int:
    return fee + (fee + 7) // 8


def _fees_of(raw: bytes) -> tuple[_Fees, int]:
    """Return fees and gas limit of a signed type-2 transaction (EIP-1559)."""
    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    return _Fees(int(fields["maxFeePerGas"]), int(fields["maxPriorityFeePerGas"])), int(fields["gas"])
