# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends transactions of one account, each once, however often the process dies or the chain changes its mind.

The caller names each transaction by a key. It is signed and journalled raw before it is broadcast, so the
key finds the same transaction after a restart. It is broadcast again until it is *final*, also after `send`
has returned (`run` does that): a reorganisation that drops it brings it back.

| what happens | what is done |
| --- | --- |
| dropped by the pool, or its block is replaced | broadcast again as it was |
| not mined for `stuck_s` | replaced: same nonce, an eighth more, up to the fee cap; whichever is mined counts |
| its nonce was used by another program, finally | signed anew with a free nonce; earlier, both could be mined |
| a nonce below it is missing from chain and pool | filled by a transfer of nothing to itself |
| "already known", "nonce too low", "underpriced" | the receipts decide, never the pool's word |

One sender owns the account's nonces: use the key in one process only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog
import trio

from node.chain import raw_transactions
from node.chain.client import ChainClient
from node.chain.raw_transactions import Fees
from node.chain.records import Call, Receipt, hex_of
from node.chain.store import SignedTransaction, TransactionStore
from protocol.errors import (
    ChainError,
    InsufficientFundsError,
    JournalFullError,
    NonceTakenError,
    RevertedError,
    RpcDownError,
    RpcRefusedError,
    RpcTimeoutError,
    TransactionKeyReusedError,
    TransactionRevertedError,
    TransactionTimeoutError,
)
from protocol.signing import Account

MOST_NONCES = 4
"""Nonces that one transaction is signed for at most; another program that takes them all must be stopped."""
_PLAIN_GAS = 21_000
_FILL = "fill-"

log = structlog.get_logger("proofmesh.chain")


@dataclass(frozen=True)
class SendingPolicy:
    """How patient a sender is, in seconds, and what it pays at most per gas, in wei.

    `send` returns at `confirmations`; a transaction is kept alive until it has `final`.
    """

    poll_s: float = 0.5
    rebroadcast_s: float = 5.0
    stuck_s: float = 30.0
    timeout_s: float = 300.0
    confirmations: int = 1
    final: int = 1
    fee_cap_wei: int = 10**12


@dataclass
class _Progress:
    """One transaction on its way; whoever moves it on holds the lock."""

    attempts: list[SignedTransaction]
    lock: trio.Lock = field(default_factory=trio.Lock)
    broadcast_at: float = float("-inf")
    stuck_at: float | None = None

    @property
    def last(self) -> SignedTransaction:
        """What is in the pool, or should be."""
        return self.attempts[-1]


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
        self._under_way: dict[str, _Progress] = {}

    # --- what callers do ------------------------------------------------------------------

    async def send(self, key: str, call: Call) -> Receipt:
        """Send a transaction once and return its receipt; a known key is followed, not sent anew.

        Raises:
            RevertedError: it would revert now; nothing was sent.
            TransactionRevertedError: it was mined and reverted.
            InsufficientFundsError: the account cannot pay for it; nothing was sent.
            TransactionTimeoutError: not mined within the policy's time; call again to go on.
            TransactionKeyReusedError: the key names another transaction.
            NonceTakenError: another program used one nonce after the other.
            ChainError: the RPC could not be asked before anything was signed.
        """
        async with self._signing:
            attempts = self._store.attempts(key) or [await self._sign_first(key, call)]
        if attempts[0].call != raw_transactions.identity(call):
            raise TransactionKeyReusedError(f"The key {key} names another transaction.")
        progress = self._progress(key, attempts)
        with trio.move_on_after(self._policy.timeout_s):
            receipt = await self._followed(key, progress)
            return await self._outcome(call, receipt)
        raise TransactionTimeoutError(
            f"The transaction {hex_of(progress.last.hash)} was not mined in {self._policy.timeout_s:g} s."
        )

    async def run(self) -> None:
        """Keep every transaction alive until it is final; run it in a nursery."""
        while True:
            await self.resume()
            await trio.sleep(self._policy.rebroadcast_s)

    async def resume(self) -> None:
        """Move on all that is not final, lowest nonce first; an RPC that is down is no error."""
        for key, attempts in self._unfinished().items():
            try:
                await self._advance(self._progress(key, attempts))
            except (RpcDownError, RpcTimeoutError) as error:
                log.debug("chain not reachable, transactions wait", code=error.code)
                return
            except JournalFullError as error:
                log.warning("transactions wait for the disk", code=error.code)
                return
            except ChainError as error:
                log.warning("transaction cannot be moved on", transaction=key, code=error.code, reason=error.message)
        await self._fill_gap()

    # --- the first signature --------------------------------------------------------------

    async def _sign_first(self, key: str, call: Call) -> SignedTransaction:
        gas = call.gas if call.gas is not None else await self._estimate(call)
        fees = await self._fees()
        cost, owned = call.value + gas * fees.cap, await self._client.balance(self._account.address)
        if owned < cost:
            raise InsufficientFundsError(
                f"The account {hex_of(self._account.address)} has {owned} wei and may need {cost}."
            )
        return self._sign(key, call, nonce=await self._free_nonce(), attempt=0, gas=gas, fees=fees)

    def _sign(self, key: str, call: Call, *, nonce: int, attempt: int, gas: int, fees: Fees) -> SignedTransaction:
        """Sign and journal: when this returns, a crash does not lose it."""
        signed = raw_transactions.sign(
            self._account, self._chain_id, key, call, nonce=nonce, attempt=attempt, gas=gas, fees=fees
        )
        self._store.add(signed)
        self._next_nonce = max(self._next_nonce, nonce + 1)
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
        """Above all that is mined, that waits in the pool (of another program too), and that was signed here."""
        address = self._account.address
        mined, pending = await self._client.nonce(address), await self._client.nonce(address, "pending")
        signed = [s.nonce + 1 for s in self._store.unfinished(address)]
        return max([self._next_nonce, mined, pending, *signed])

    async def _fees(self) -> Fees:
        base, tip = await self._client.base_fee(), await self._client.tip()
        cap = min(2 * base + tip, self._policy.fee_cap_wei)
        return Fees(cap, min(tip, cap))

    # --- on its way -----------------------------------------------------------------------

    def _unfinished(self) -> dict[str, list[SignedTransaction]]:
        found: dict[str, list[SignedTransaction]] = {}
        for signed in self._store.unfinished(self._account.address):
            found.setdefault(signed.key, []).append(signed)
        return found

    def _progress(self, key: str, attempts: list[SignedTransaction]) -> _Progress:
        """The one progress of a key, whoever follows it: two tasks never sign for one nonce."""
        return self._under_way.setdefault(key, _Progress(sorted(attempts, key=lambda s: s.attempt)))

    async def _followed(self, key: str, progress: _Progress) -> Receipt:
        said = False
        while True:
            try:
                receipt = await self._advance(progress)
                if receipt is not None and await self._is_deep(receipt, self._policy.confirmations):
                    return receipt
            except (RpcDownError, RpcTimeoutError) as error:
                say, said = log.debug if said else log.warning, True
                say("chain not reachable, the transaction waits", transaction=key, code=error.code)
            await trio.sleep(self._policy.poll_s)

    async def _advance(self, progress: _Progress) -> Receipt | None:
        """Look where the transaction is, and do what it needs; return its receipt if it is mined now."""
        async with progress.lock:
            receipt = await self._mined(progress.attempts)
            if receipt is None:
                receipt = await self._push(progress)
            if receipt is not None and await self._is_deep(receipt, self._policy.final):
                self._store.finish(progress.last.key)
                self._under_way.pop(progress.last.key, None)
            return receipt

    async def _push(self, progress: _Progress) -> Receipt | None:
        now = trio.current_time()
        if progress.stuck_at is None:
            progress.stuck_at = now + self._policy.stuck_s
        if now < min(progress.broadcast_at, progress.stuck_at):
            return None
        if await self._client.nonce(self._account.address) > progress.last.nonce:
            # Mined by one of ours between two questions is fine: the receipts are asked again.
            if (receipt := await self._mined(progress.attempts)) is not None:
                return receipt
            await self._take_new_nonce(progress)
        elif now >= progress.stuck_at:
            await self._replace(progress)
        await self._broadcast(progress.last)
        progress.broadcast_at = trio.current_time() + self._policy.rebroadcast_s
        return await self._mined(progress.attempts)

    async def _take_new_nonce(self, progress: _Progress) -> None:
        """Another program used the nonce. Once that is final ours can never be mined, and is signed anew."""
        if await self._final_nonce() <= progress.last.nonce or await self._mined(progress.attempts) is not None:
            return
        if len({signed.nonce for signed in progress.attempts}) >= MOST_NONCES:
            raise NonceTakenError(f"Nonce {progress.last.nonce} was used by a transaction of another program.")
        key, before = progress.last.key, progress.last
        log.warning("a nonce was used by another program, the transaction is signed anew", transaction=key)
        call, fees = raw_transactions.read(before.raw)
        async with self._signing:
            nonce, today = await self._free_nonce(), await self._fees()
            signed = self._sign(
                key, call, nonce=nonce, attempt=before.attempt + 1, gas=call.gas or 0, fees=fees.at_least(today)
            )
        progress.attempts.append(signed)
        progress.stuck_at = trio.current_time() + self._policy.stuck_s

    async def _final_nonce(self) -> int:
        """How many transactions of the account are mined for good."""
        head = await self._client.header("latest")
        if head is None or head.number + 1 < self._policy.final:
            return 0
        return await self._client.nonce(self._account.address, hex_of(head.number + 1 - self._policy.final))

    async def _replace(self, progress: _Progress) -> None:
        """Sign the same with a fee one eighth higher, or today's if that is more; up to the cap."""
        progress.stuck_at = trio.current_time() + self._policy.stuck_s
        key, before = progress.last.key, progress.last
        call, fees = raw_transactions.read(before.raw)
        raised = fees.raised().at_least(await self._fees())
        if raised.cap > self._policy.fee_cap_wei:
            log.warning("transaction stuck at the highest fee allowed", transaction=key)
            return
        signed = self._sign(key, call, nonce=before.nonce, attempt=before.attempt + 1, gas=call.gas or 0, fees=raised)
        progress.attempts.append(signed)
        log.info("transaction stuck, fee raised", transaction=key, fee_wei=raised.cap)

    async def _fill_gap(self) -> None:
        """Fill a nonce that nobody's transaction has, if ours wait for it and the pool has had its time."""
        unfinished = self._unfinished()
        waiting = [attempts[-1] for attempts in unfinished.values() if not attempts[-1].key.startswith(_FILL)]
        if not waiting:
            return
        address = self._account.address
        try:
            free = await self._client.nonce(address, "pending")
            first = min(waiting, key=lambda signed: signed.nonce)
            progress = self._under_way.get(first.key)
            overdue = progress is not None and len(progress.attempts) > 1
            if free >= first.nonce or not overdue or f"{_FILL}{free}" in unfinished:
                return
            log.warning("a nonce is missing, it is filled", nonce=free)
            async with self._signing:
                call = Call(address, gas=_PLAIN_GAS)
                signed = self._sign(
                    f"{_FILL}{free}", call, nonce=free, attempt=0, gas=_PLAIN_GAS, fees=await self._fees()
                )
            await self._broadcast(signed)
        except (ChainError, JournalFullError) as error:
            log.debug("a missing nonce cannot be filled now", code=error.code)

    async def _mined(self, attempts: list[SignedTransaction]) -> Receipt | None:
        for signed in reversed(attempts):
            if receipt := await self._client.receipt(signed.hash):
                return receipt
        return None

    async def _is_deep(self, receipt: Receipt, confirmations: int) -> bool:
        """Whether the receipt's block has its confirmations, and is the chain's."""
        if confirmations <= 1:
            return True
        head, there = await self._client.headers(["latest", receipt.block_number])
        deep = head is not None and head.number + 1 >= receipt.block_number + confirmations
        return deep and there is not None and there.hash == receipt.block_hash

    async def _broadcast(self, signed: SignedTransaction) -> None:
        try:
            await self._client.send_raw(signed.raw)
        except RpcRefusedError as error:
            # Known, already mined or underpriced: the receipts and the next round decide.
            log.debug("broadcast not taken", transaction=signed.key, reason=error.message)

    # --- its end --------------------------------------------------------------------------

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
