# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold after every event, and at the end. Written against the chain's log, not by its code.

| invariant | kind | of docs/SECURITY.md |
| --- | --- | --- |
| SIM-1: balances and locks hold exactly what was deposited; no balance is negative | safety | I1 |
| SIM-2: an order is paid at most once, and never after a refund | safety | I3, I4 |
| SIM-3: a payment has a valid proof token that names its payout and settler | safety | I2 |
| SIM-4: a payment keeps within the order's cap, the client's signature and the deadlines | safety | I5 |
| SIM-5: no honest prover loses collateral that could reach the chain, and prove, from lock to promise | safety | I5 |
| SIM-6: every order ends, and a lock ends soon after the order's last second | liveness | |
| SIM-7: a fair order that is placed after healing is settled; refunded if a liar locked it | liveness | |
| SIM-8: every balance is what the log of deposits, locks, payments and refunds makes it | safety | I5 |
| SIM-9: a machine that is replayed from its journal is the machine that died | safety | |
| SIM-10: what an honest prover does for one client without a lock stays below its cap | safety | |
| SIM-11: an honest client's private input goes to provers that it allowed and awarded, and to nobody else | safety | |
| SIM-12: jobs, outboxes and ticks stay within bounds | safety | |
| SIM-13: no honest node believes in a payment that the chain does not have, or misses one that it has | liveness | |
| SIM-14: whoever served an honest client in time is paid, and no outbox is left full | liveness | |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from market import client
from market.prover_state import EXPOSED, exposure
from protocol.messages import Message, SealedInput
from sims.blocks import Chain, Slash
from sims.chain import BURNED, SECOND, Entry, Expired, Locked, Moved, Paid, Released
from sims.client_node import ClientNode
from sims.errors import LivenessViolationError, SafetyViolationError
from sims.prover_node import ProverNode
from sims.shell import Shell, overlap
from sims.tokens import hash_of, proof_is_valid, signature_token

REFUND_SLACK = 120 * SECOND
"""After an order's last second: how long its refund may take, in nanoseconds."""
HINDERED_LIMIT = SECOND
"""A prover that could not reach the chain, or lost time on a proof that failed, for longer than this is excused."""
MOST_JOBS, LARGEST_OUTBOX = 2_048, 4_096
"""Bounds of what one node holds in a simulation."""


class Invariants:
    """Watches one chain and its nodes. Cheap when nothing changed."""

    def __init__(self, chain: Chain, nodes: Sequence[Shell[Any]]) -> None:
        self._chain = chain
        self._nodes: Mapping[bytes, Shell[Any]] = {node.account: node for node in nodes}
        self._version = -1
        self._read: list[Entry] = []
        self._expected: dict[bytes, int] = {}
        self._slashes: list[Slash] = []
        self._paid: dict[bytes, int] = {}
        self.excused: list[tuple[int, int]] = []
        """(from, to) of what kept everybody, or one prover, from the chain."""

    def check(self) -> None:
        """Raise SafetyViolationError if something that must hold of the chain does not."""
        escrow = self._chain.escrow
        if escrow.version == self._version:
            return
        self._version = escrow.version
        if escrow.held() != escrow.deposited:
            raise SafetyViolationError(f"SIM-1: {escrow.deposited} wei came in, {escrow.held()} are there.")
        if any(balance < 0 for balance in escrow.balances.values()):
            raise SafetyViolationError("SIM-1: a balance is negative.")
        self._read_log(escrow.log)
        for account, balance in escrow.balances.items():
            if self._expected.get(account, 0) != balance:
                raise SafetyViolationError(f"SIM-8: the log does not explain the balance of {account.hex()}.")
        slashes = self._chain.slashes
        while self._slashes and not (
            len(self._slashes) <= len(slashes) and slashes[len(self._slashes) - 1] is self._slashes[-1]
        ):
            self._slashes.pop()
        for slash in slashes[len(self._slashes) :]:
            self._slash(slash)
            self._slashes.append(slash)

    def _read_log(self, log: list[Entry]) -> None:
        """Take back what a reorg cut, then read what is new."""
        read = self._read
        while read and not (len(read) <= len(log) and log[len(read) - 1] is read[-1]):
            entry = read.pop()
            self._move(entry, -1)
            if isinstance(entry, Paid):
                self._paid[entry.order_hash] -= 1
        for entry in log[len(read) :]:
            if isinstance(entry, Paid):
                self._payment(entry)
            self._move(entry, 1)
            read.append(entry)

    def _payment(self, paid: Paid) -> None:
        s, name = paid.settlement, paid.order_hash.hex()[:12]
        self._paid[paid.order_hash] = self._paid.get(paid.order_hash, 0) + 1
        if self._paid[paid.order_hash] > 1 or self._chain.escrow.finished.get(paid.order_hash) != "settled":
            raise SafetyViolationError(f"SIM-2: order {name} is paid twice.")
        if any(isinstance(entry, Expired) and entry.order_hash == paid.order_hash for entry in self._read):
            raise SafetyViolationError(f"SIM-2: order {name} is paid after its refund.")
        if not proof_is_valid(s.order, s.award.payout, s.settler, s.outputs, s.proof):
            raise SafetyViolationError(f"SIM-3: order {name} is paid without a proof.")
        signed = s.signature == signature_token(s.order.client, hash_of(s.award))
        kept = s.award.price <= s.order.price_cap and paid.at <= s.order.final_by
        if not (signed and kept and s.award.order_hash == hash_of(s.order)):
            raise SafetyViolationError(f"SIM-4: order {name} is paid against its terms.")

    def _move(self, entry: Entry, sign: int) -> None:
        """Follow the money by the rules of the contract's documentation."""
        for account, amount in _changes(entry, self._read, self._chain):
            self._expected[account] = self._expected.get(account, 0) + sign * amount

    def _slash(self, slash: Slash) -> None:
        node = self._nodes.get(slash.prover)
        if node is None or not node.honest:
            return
        hindered = node.hindered_for(slash.locked_at, slash.promise_at)
        hindered += overlap(self.excused, slash.locked_at, slash.promise_at)
        if hindered <= HINDERED_LIMIT:
            raise SafetyViolationError(
                f"SIM-5: prover {node.index} lost collateral, order {slash.order_hash.hex()[:12]}."
            )

    # --- nodes ---------------------------------------------------------------------------

    def check_bounds(self, nodes: Sequence[Shell[Any]]) -> None:
        """Raise SafetyViolationError if a node holds more than it may; for now and then."""
        for node in nodes:
            if len(node.state.jobs) > MOST_JOBS or len(node.disk.outbox) > LARGEST_OUTBOX:
                raise SafetyViolationError(f"SIM-12: node {node.index} holds more than it may.")


def check_exposure(node: ProverNode) -> None:
    """Raise SafetyViolationError if an honest prover risks more with a client than its cap."""
    jobs = node.state.jobs.values()
    for account in {job.order.client: None for job in jobs}:
        covered = sum(
            job.bid.price + job.order.verifier_fee
            for job in jobs
            if job.order.client == account
            and job.phase in EXPOSED
            and not job.locked
            and (job.bid.locks or job.order_hash in node.state.locks)
        )
        unpaid = node.state.unpaid.get(account, 0)
        if exposure(node.state, account) - unpaid - covered > node.state.tariff.exposure_cap:
            raise SafetyViolationError(f"SIM-10: prover {node.index} risks too much with one client.")


class Privacy:
    """Watches where sealed inputs go (SIM-11)."""

    def __init__(self, nodes: Sequence[Shell[Any]]) -> None:
        self._nodes = nodes

    def __call__(self, source: int, target: int, message: Message) -> None:
        """Look at one request that arrives."""
        sender = self._nodes[source]
        if not isinstance(message, SealedInput) or not isinstance(sender, ClientNode) or not sender.honest:
            return
        placed = sender.placed.get(message.order_hash)
        allowed = placed.plan.allowed if placed is not None else ()
        if placed is None or (allowed is not None and self._nodes[target].account not in allowed):
            raise SafetyViolationError(f"SIM-11: the input of order {message.order_hash.hex()[:12]} went to {target}.")


def check_end(chain: Chain, clients: Sequence[ClientNode], provers: Sequence[ProverNode], *, must_settle: bool) -> None:
    """Raise LivenessViolationError if an order did not end as it must. Nothing is planned any more."""
    if chain.escrow.locks:
        honest = {node.account for node in clients if node.honest}
        for order_hash, lock in chain.escrow.locks.items():
            if lock.order.client in honest:
                raise LivenessViolationError(f"SIM-6: order {order_hash.hex()[:12]} is locked for ever.")
    liars = {node.account for node in provers if not node.honest}
    for node in clients:
        if node.honest:
            for order_hash in node.placed:
                _check_order(chain, liars, node, order_hash, must_settle)
    nodes: list[Shell[Any]] = [*clients, *provers]
    for each in nodes:
        if each.honest and each.disk.outbox:
            kinds = sorted({type(effect).__name__ for effect in each.disk.outbox.values()})
            raise LivenessViolationError(f"SIM-14: node {each.index} never finished {', '.join(kinds)}.")


def _check_order(chain: Chain, liars: Set[bytes], node: ClientNode, order_hash: bytes, must_settle: bool) -> None:
    placed = node.placed[order_hash]
    order, name = placed.plan.order, order_hash.hex()[:12]
    if placed.outcome is None:
        raise LivenessViolationError(f"SIM-6: order {name} never ended.")
    if placed.ended_at > order.final_by * SECOND + REFUND_SLACK:
        raise LivenessViolationError(f"SIM-6: order {name} ended too late.")
    if must_settle and placed.plan.must_settle and not _served(chain, liars, placed.outcome, order_hash):
        raise LivenessViolationError(f"SIM-7: fair order {name} ended {placed.outcome}.")
    finished = chain.escrow.finished.get(order_hash, "")
    if (finished == "settled") != (placed.outcome is client.Phase.SETTLED):
        raise LivenessViolationError(f"SIM-13: client and chain disagree on order {name}.")


def _served(chain: Chain, liars: Set[bytes], outcome: client.Phase, order_hash: bytes) -> bool:
    """A liar's lock may hold too low a price for honest provers: then the refund is what the client gets."""
    honest = chain.locked_by.get(order_hash) not in liars
    return outcome is client.Phase.SETTLED or (outcome is client.Phase.REFUNDED and not honest)


def _changes(entry: Entry, read: Sequence[Entry], chain: Chain) -> list[tuple[bytes, int]]:
    match entry:
        case Moved():
            return [(entry.account, entry.amount)]
        case Locked():
            order, award = entry.lock.order, entry.lock.award
            return [
                (order.client, -award.price - order.verifier_fee),
                (award.prover, -order.collateral),
            ]
        case Released():
            order, award = entry.lock.order, entry.lock.award
            burned = order.collateral // 8
            return [
                (order.client, award.price + order.verifier_fee),
                (award.prover, order.collateral - burned),
                (BURNED, burned),
            ]
        case Expired():
            order, award = entry.lock.order, entry.lock.award
            return [(order.client, award.price + order.verifier_fee), (BURNED, order.collateral)]
        case Paid():
            return _payment_changes(entry, read, chain)


def _payment_changes(paid: Paid, read: Sequence[Entry], chain: Chain) -> list[tuple[bytes, int]]:
    order, award = paid.settlement.order, paid.settlement.award
    royalty = award.price * order.royalty_bps // 10_000
    changes = [
        (order.client, -award.price - order.verifier_fee),
        (award.payout, award.price - royalty),
        (chain.escrow.royalties.get(order.model_id, BURNED), royalty),
        (paid.settlement.settler if paid.sender == paid.settlement.settler else award.payout, order.verifier_fee),
    ]
    held = [e for e in read if isinstance(e, Locked | Released) and e.order_hash == paid.order_hash]
    if not held or isinstance(held[-1], Released):
        return changes
    lock = held[-1].lock
    changes.append((order.client, lock.award.price + order.verifier_fee))
    if paid.at <= lock.award.promise_at:
        return [*changes, (lock.award.prover, order.collateral)]
    bounty = order.collateral // 4
    return [*changes, (award.payout, bounty), (BURNED, order.collateral - bounty)]
