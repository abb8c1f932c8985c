# SPDX-License-Identifier: GPL-3.0-or-later
"""The prover's hands: bid, open the input, compute, lock, prove, have it settled."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog
import trio

from market import prover, refusals
from market.effects import (
    ComputeWitness,
    Effect,
    EraseSecrets,
    SendBid,
    SendProof,
    SendRefusal,
    StartProof,
    SubmitLock,
    SubmitRelease,
    SubmitSettlement,
)
from market.events import (
    AwardReceived,
    Event,
    InputOpened,
    InputRejected,
    LockFailed,
    OrderSeen,
    ProgramServed,
    ProofFailed,
    ProofReady,
    VerifierAnswered,
    WitnessReady,
)
from market.prover_state import ENDED
from node.bundle_store import BundleUnknownError
from node.context import NodeContext
from node.endpoint import RefusedError
from node.order_terms import OrderTerms
from node.private_input import PrivateInput
from node.role_shell import RoleShell
from protocol.eip712 import digest
from protocol.errors import (
    AuditError,
    BackendError,
    BundleError,
    KeyMaterialError,
    ModelError,
    NotCanonicalError,
    ProofmeshError,
    SealError,
    WorkerDiedError,
    WorkerLimitError,
)
from protocol.messages import (
    AwardMessage,
    BidMessage,
    OrderAnnouncement,
    ProofMessage,
    Refusal,
    SealedInput,
    SettlementNotice,
)
from protocol.sealing import public_key, unseal
from protocol.signing import require_signed_by
from protocol.structs import Order
from proving.backends.base import Proved
from proving.prover import prove as prove_in_worker
from proving.prover import witness as witness_in_worker

BID_ATTEMPTS = 3
WORKER_DEATHS = 1
"""How often the worker of one job may die before its program is held to be the cause."""
LOST = (OSError, MemoryError, WorkerLimitError, AuditError, BackendError, BundleError, BundleUnknownError,
        KeyMaterialError, ModelError)  # fmt: skip
"""What says, before anything is committed, that a program cannot be proved here; all else is the input's fault."""
T = TypeVar("T")

log = structlog.get_logger("proofmesh.prover")


class ProverRole:
    """Feeds the prover's machine from the network, and performs its effects."""

    def __init__(self, context: NodeContext, shell: RoleShell[prover.State]) -> None:
        self._node = context
        self.shell = shell
        self._offered: set[bytes] = set()
        self._deaths: Counter[bytes] = Counter()
        self._terms = OrderTerms(context.chain)
        self._erase_orphans()
        context.endpoint.on(AwardMessage, self._award)
        context.endpoint.on(SealedInput, self._sealed_input)
        context.endpoint.on(SettlementNotice, self._notice)
        context.endpoint.on(Refusal, self._refusal)

    def _erase_orphans(self) -> None:
        """Erase the sealing keys of bids that a crash kept out of the journal, and of jobs that are at their end."""
        for name in self._node.vault.names():
            kind, _, rest = name.partition("-")
            order = rest.partition("-")[0]
            if kind == "seal" and len(order) == 64:
                job = self.shell.state.jobs.get(bytes.fromhex(order))
                if job is None or job.phase in ENDED:
                    self._node.vault.erase(name)

    def offer(self, program_id: bytes, proving_ms: int) -> None:
        """Bid for a program from now on: its bundle is audited, and workers have it in memory.

        What the journal remembers of an earlier run is no offer: after a start nothing is promised before it is warm.
        """
        self._offered.add(program_id)
        self.shell.hear(ProgramServed(self._node.clock.now(), program_id, proving_ms))

    def withdraw(self, program_id: bytes) -> None:
        """Bid for a program no longer; jobs that were taken go on."""
        self._offered.discard(program_id)

    # --- from peers ----------------------------------------------------------------------

    def order_seen(self, message: OrderAnnouncement) -> None:
        """Take an announcement that passed gossip validation (order_gossip.py)."""
        if message.order.program_id not in self._offered and message.order.program_id in self.shell.state.programs:
            return
        if self._node.storage.halted:
            return
        order_hash = digest(self._node.network, message.order)
        job = self.shell.state.jobs.get(order_hash)
        if (job is not None and job.issued_at >= message.issued_at) or self._is_over(order_hash):
            return
        secret = secrets.token_bytes(32)
        sealing_key = public_key(secret)
        self._node.vault.put(_seal_name(order_hash, sealing_key), secret)
        self.shell.feed(
            OrderSeen(
                at=self._node.clock.now(),
                order_hash=order_hash,
                order=message.order,
                issued_at=message.issued_at,
                peer=message.addresses[0],
                client_balance=self._node.ledger.balance(message.order.client),
                sealing_key=sealing_key,
                verifier=self._node.external.verifier_of(message.order.program_id),
            )
        )
        job = self.shell.state.jobs.get(order_hash)
        if job is None or job.bid.sealing_key != sealing_key:
            self._node.vault.erase(_seal_name(order_hash, sealing_key))

    async def _award(self, peer: str, message: AwardMessage) -> None:
        order_hash = message.award.order_hash
        job = self.shell.state.jobs.get(order_hash)
        if job is None:
            raise RefusedError(refusals.BID_UNKNOWN)
        if self._node.storage.halted and job.phase is prover.Phase.QUOTED:
            raise RefusedError(refusals.DISK_FULL)
        require_signed_by(job.order.client, self._node.network, message.award, message.signature)
        if job.phase is prover.Phase.QUOTED and (code := await self._order_fault(job.order, order_hash)):
            raise RefusedError(code)
        award_hash = digest(self._node.network, message.award)
        event = AwardReceived(
            self._node.clock.now(), order_hash, job.peer, message.award, award_hash, message.signature
        )
        self._refuse_if_refused(self.shell.feed(event))

    async def _order_fault(self, order: Order, order_hash: bytes) -> str:
        """Why no proof of an order would be paid, whatever it is locked for; looked at before anything is spent."""
        return refusals.ORDER_TAKEN if self._is_over(order_hash) else await self._terms.fault(order)

    def _is_over(self, order_hash: bytes) -> bool:
        return self._node.ledger.is_done(order_hash) or self._node.ledger.is_cancelling(order_hash)

    async def _sealed_input(self, peer: str, message: SealedInput) -> None:
        job = self.shell.state.jobs.get(message.order_hash)
        if job is None or job.award is None:
            raise RefusedError(refusals.BID_UNKNOWN)
        if job.phase is not prover.Phase.AWARDED:
            return  # a resend of what is in work
        if message.award_hash != digest(self._node.network, job.award):
            raise RefusedError(refusals.AWARD_MISMATCH)
        now = self._node.clock.now()
        try:
            secret = self._node.vault.get(_seal_name(message.order_hash, job.bid.sealing_key))
            opened = unseal(
                secret, message.ciphertext, self._node.network, message.order_hash, message.award_hash
            )
            PrivateInput.from_bytes(opened)
        except (SealError, NotCanonicalError):
            # Only the client's own peer can spoil the job; a stranger's garbage is refused and forgotten.
            if job.peer.endswith(f"/p2p/{peer}"):
                self.shell.feed(InputRejected(now, message.order_hash))
            raise RefusedError(refusals.INPUT_INVALID) from None
        self._node.vault.put(self._node.input_name(message.order_hash), opened)
        self.shell.feed(InputOpened(now, message.order_hash))

    async def _notice(self, peer: str, message: SettlementNotice) -> None:
        """A settler's word; the follower's view of the chain is what counts."""
        require_signed_by(message.notice.settler, self._node.network, message.notice, message.signature)
        log.info(
            "settlement announced",
            order=message.notice.order_hash.hex()[:12],
            transaction=f"0x{message.notice.transaction_hash.hex()}",
        )

    async def _refusal(self, peer: str, message: Refusal) -> None:
        """A verifier's late refusal (the proof did not check, the chain refused): settle without it."""
        job = self.shell.state.jobs.get(message.terms.order_hash)
        if job is None or message.signature is None or message.terms.prover != job.settler:
            return
        require_signed_by(message.terms.prover, self._node.network, message.terms, message.signature)
        event = VerifierAnswered(self._node.clock.now(), message.terms.order_hash, message.terms.code)
        self.shell.feed(event)

    @staticmethod
    def _refuse_if_refused(effects: Sequence[Effect]) -> None:
        """Answer in place as well: the client learns at once that the award is not taken."""
        for effect in effects:
            if isinstance(effect, SendRefusal):
                raise RefusedError(effect.code)

    # --- effects -------------------------------------------------------------------------

    async def perform(self, effect: Effect) -> Sequence[Event]:
        """Perform one effect of the prover's machine."""
        match effect:
            case SendBid():
                await self._bid(effect)
            case SendRefusal():
                await self._node.send_refusal(effect)
            case ComputeWitness():
                return [await self._witness(effect)]
            case StartProof():
                return [await self._prove(effect)]
            case SubmitLock():
                self._node.storage.require_room()  # tried again: there may be room before the lock is too late
                if not await self._node.transactions.lock(effect):
                    return [LockFailed(self._node.clock.now(), effect.order_hash)]
            case SubmitRelease():
                await self._node.transactions.release(effect)
            case SendProof():
                return [await self._send_proof(effect)]
            case SubmitSettlement():
                return await self._node.transactions.settle(effect)
            case EraseSecrets():
                self._node.erase_secrets(effect.order_hash)
                self._deaths.pop(effect.order_hash, None)
        return []

    async def _bid(self, effect: SendBid) -> None:
        signature = self._node.account.sign(self._node.network, effect.bid)
        message = BidMessage(
            network=self._node.network,
            bid=effect.bid,
            addresses=self._node.transport.addresses[:8],
            signature=signature,
        )
        for attempt in range(BID_ATTEMPTS):
            try:
                await self._node.endpoint.send(effect.peer, message)
                return
            except RefusedError as error:
                log.info("bid refused", order=effect.order_hash.hex()[:12], code=error.refusal_code)
                return
            except ProofmeshError as error:
                log.info("bid not delivered", order=effect.order_hash.hex()[:12], code=error.code)
                await trio.sleep(0.2 * (attempt + 1))

    async def _witness(self, effect: ComputeWitness) -> Event:
        now, order_hash = self._node.clock.now, effect.order_hash
        try:
            opened = self._opened(order_hash)
            result = await self._work(effect, witness_in_worker, opened.values, opened.secrets)
        except WorkerDiedError:
            if self._died_again(order_hash):
                return ProofFailed(now(), order_hash)
            raise
        except LOST as error:
            return self._cannot_prove(order_hash, error)
        except ProofmeshError as error:
            log.info("input not usable", order=order_hash.hex()[:12], code=error.code)
            return InputRejected(now(), order_hash)
        if result.commitment != effect.order.input_commitment:
            return InputRejected(now(), order_hash)
        return WitnessReady(now(), order_hash)

    async def _prove(self, effect: StartProof) -> Event:
        order_hash = effect.order_hash
        try:
            opened = self._opened(order_hash)
            result: Proved = await self._work(effect, prove_in_worker, opened.values, opened.secrets, effect.binding)
        except WorkerDiedError:
            if self._died_again(order_hash):
                return ProofFailed(self._node.clock.now(), order_hash)
            raise
        except Exception as error:
            return self._cannot_prove(order_hash, error)
        outputs = result.public_inputs[1:-1]
        milliseconds = max(1, round(result.proving_ms))
        return ProofReady(self._node.clock.now(), order_hash, outputs, result.proof, milliseconds)

    async def _work(self, effect: ComputeWitness | StartProof, function: Callable[..., T], *arguments: object) -> T:
        folder = self._node.bundles.folder_of_program(effect.order.program_id)
        return await self._node.workers.run(function, folder, *arguments, key=folder)

    def _died_again(self, order_hash: bytes) -> bool:
        """One death is bad luck, and tried again in a new worker; the next one is the program's."""
        self._deaths[order_hash] += 1
        return self._deaths[order_hash] > WORKER_DEATHS

    def _cannot_prove(self, order_hash: bytes, error: Exception) -> Event:
        """Whatever it is, a lost file or a bug: the machine bids on this program no more."""
        code = getattr(error, "code", type(error).__name__)
        log.error("proof failed; no further bids on its program", order=order_hash.hex()[:12], code=code)
        return ProofFailed(self._node.clock.now(), order_hash)

    def _opened(self, order_hash: bytes) -> PrivateInput:
        return PrivateInput.from_bytes(self._node.vault.get(self._node.input_name(order_hash)))

    async def _send_proof(self, effect: SendProof) -> Event:
        message = ProofMessage(
            network=self._node.network,
            order=effect.order,
            award=effect.award,
            award_signature=effect.signature,
            outputs=effect.outputs,
            proof=effect.proof,
            settler=effect.settler,
        )
        code = ""
        try:
            await self._node.endpoint.send(effect.peer, message)
        except ProofmeshError as error:
            code = error.refusal_code if isinstance(error, RefusedError) else refusals.UNREACHABLE
        return VerifierAnswered(self._node.clock.now(), effect.order_hash, code)


def _seal_name(order_hash: bytes, sealing_key: bytes) -> str:
    return f"seal-{order_hash.hex()}-{sealing_key.hex()[:16]}"
