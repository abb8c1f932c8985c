# SPDX-License-Identifier: GPL-3.0-or-later
"""A node put together: folder, journal, chain, transport, roles; one nursery, everything supervised.

`running_node` yields once the node listens, has read the chain up to its head and its roles have taken
up what they had left to do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import structlog
import trio

from market import client, prover, verifier
from market.events import Event, FundsChanged, JobEvent, VerifierGone, VerifierSeen
from market.pricing import Tariff
from market.prover_state import ENDED, keeps_input
from market.reputation import Record
from node.bundle_store import BundleStore
from node.catch_up import CatchUp
from node.chain_view import ChainView, open_chain
from node.context import NodeContext
from node.data_folder import DataFolder
from node.directory import ChainDirectory
from node.endpoint import MarketEndpoint
from node.executor import Executor, executor_of
from node.external_programs import ExternalPrograms
from node.greeting import Greeter, Profile
from node.journal import Journal, open_journal
from node.net import Limits, Transport, load_or_create
from node.net.identity import fresh
from node.net.limits import Rate, RelayLimits
from node.net.peerstore import PEER_FILE
from node.order_gossip import OrderGossip
from node.receipt_store import ReceiptStore
from node.role_shell import RoleShell
from node.roles.client import ClientRole
from node.roles.prover import ProverRole
from node.roles.verifier import VerifierRole
from node.settings import Settings, named_bundles
from node.settlement import Transactions
from node.status_file import keep_status
from node.storage import Storage
from node.taken_back import taken_back
from node.vault import Vault
from protocol import codec
from protocol.errors import ChainError
from protocol.messages import Hello, OrderAnnouncement
from protocol.signing import Account

log = structlog.get_logger("proofmesh.node")

GAS_PRICE_STEP_BPS = 1_000
"""A change of the gas price below this (10%) is not told to the roles."""
GAS_PRICE_SECONDS = 3.0


class Node:
    """A running node: its context and the roles that it plays."""

    def __init__(self, settings: Settings, context: NodeContext, journal: Journal, greeter: Greeter) -> None:
        self.settings = settings
        self.context = context
        self.greeter = greeter
        self._journal = journal
        self._funds: tuple[int, int] | None = None
        self._catching_up: CatchUp | None = CatchUp(self._knows)
        self.client: ClientRole | None = None
        self.prover: ProverRole | None = None
        self.verifier: VerifierRole | None = None

    def play(self, roles: Sequence[str]) -> None:
        """Set up the machines of these roles from their journal."""
        account, clock = self.context.account.address, self.context.clock
        if "client" in roles:
            shell = RoleShell(
                "client", client.State(), client.transition, client.next_deadline, self._journal, clock
            )
            self.client = ClientRole(self.context, shell, self.greeter.account_of)
        if "prover" in roles:
            state = prover.State(
                network=self.context.network,
                account=account,
                payout=self.settings.prover.payout or account,
                tariff=tariff_of(self.settings),
            )
            self.prover = ProverRole(
                self.context,
                RoleShell("prover", state, prover.transition, prover.next_deadline, self._journal, clock),
            )
        if "verifier" in roles:
            chosen = self.settings.verifier
            state_of_verifier = verifier.State(
                account=account,
                least_fee=chosen.least_fee_wei,
                batch_wait=chosen.batch_wait_ms * 10**6,
                batch_size=chosen.batch_size,
            )
            self.verifier = VerifierRole(
                self.context,
                RoleShell(
                    "verifier",
                    state_of_verifier,
                    verifier.transition,
                    verifier.next_deadline,
                    self._journal,
                    clock,
                ),
            )

    def least_fee(self) -> int:
        """The fee that this node's verifier takes now; zero without one."""
        return verifier.least_acceptable_fee(self.verifier.shell.state) if self.verifier else 0

    async def start(self, nursery: trio.Nursery) -> None:
        """Start roles, gossip, greetings and the following of the chain."""
        # Every node forwards orders, whatever its roles: the mesh is what reaches the provers.
        gossip = OrderGossip(self.context.network, self.context.ledger, self.context.clock.now)
        await self.context.transport.subscribe(self.context.orders_topic, gossip.validate, self._order)
        await self._tell_funds()
        for role in (self.client, self.prover, self.verifier):
            if role is not None:
                await nursery.start(role.shell.run, role.perform)
        nursery.start_soon(self.greeter.run)
        nursery.start_soon(self._watch_funds)

    def serve(self, program_id: bytes, proving_ms: int) -> None:
        """Offer an audited program to the market."""
        if self.prover is not None:
            self.prover.offer(program_id, proving_ms)

    def is_broken(self, program_id: bytes) -> bool:
        """Whether a proof of this program failed since it was offered last."""
        return self.prover is not None and program_id in self.prover.shell.state.broken

    def withdraw(self, program_id: bytes) -> None:
        """Offer a program no longer: its bundle goes."""
        if self.prover is not None:
            self.prover.withdraw(program_id)

    def programs_in_work(self) -> Iterator[bytes]:
        """Yield the programs of jobs that are not at their end; their bundles are needed."""
        if self.client is not None:
            ordered = self.client.shell.state.jobs.values()
            yield from (job.order.program_id for job in ordered if job.phase not in client.FINAL)
        if self.prover is not None:
            taken = self.prover.shell.state.jobs.values()
            yield from (job.order.program_id for job in taken if job.phase not in ENDED or keeps_input(job))

    def chain_event(self, event: JobEvent) -> None:
        """Take the chain's word on an order (from the follower); of its history, what still matters."""
        if self._catching_up is not None:
            self._catching_up.take(event)
            return
        for role in (self.client, self.prover, self.verifier):
            if role is not None and (role is not self.client or event.order_hash in role.shell.state.jobs):
                role.shell.hear(event)

    def caught_up(self) -> None:
        """The history is read: the roles hear what holds no longer, then what matters of it; from now on everything."""
        assert self._catching_up is not None
        kept, self._catching_up = self._catching_up.kept(), None
        for role in (self.client, self.prover, self.verifier):
            if role is not None:
                for order_hash in taken_back(role.shell.state, self.context.ledger):
                    log.warning("the chain took back what it had said of an order", order=order_hash.hex()[:12])
                    self.context.chain.take_back(order_hash, role.shell.hear)
        for event in kept:
            self.chain_event(event)

    def erase_orphans(self) -> None:
        """Erase secrets of no order, unless a role that is not played now may know theirs."""
        shells = [role.shell for role in (self.client, self.prover, self.verifier) if role is not None]
        if set(self._journal.roles()) <= {shell.role for shell in shells}:
            self.context.erase_orphans({order_hash for shell in shells for order_hash in shell.state.jobs})

    def _knows(self, order_hash: bytes) -> bool:
        """Whether a role has a job of this order, or was told of its lock."""
        roles = (self.client, self.prover, self.verifier)
        if any(role is not None and order_hash in role.shell.state.jobs for role in roles):
            return True
        return any(role is not None and order_hash in role.shell.state.locks for role in (self.prover, self.verifier))

    def heard(self, peer: str, hello: Hello) -> None:
        """A peer introduced itself."""
        if self._has_a_name_to_lose(hello.account):
            self.context.transport.trusted.add(peer)
        if self.prover is not None and "verifier" in hello.roles:
            self.prover.shell.note(
                VerifierSeen(self.context.clock.now(), peer, hello.account, hello.least_fee)
            )

    def gone(self, peer: str, hello: Hello) -> None:
        """A peer is connected no longer."""
        self.context.transport.trusted.discard(peer)
        if self.prover is not None and "verifier" in hello.roles:
            self.prover.shell.note(VerifierGone(self.context.clock.now(), hello.account))

    def _has_a_name_to_lose(self, account: bytes) -> bool:
        """An account with money in the Escrow, or that kept its promise to this node's client."""
        kept = self.client is not None and self.client.shell.state.reputation.get(account, Record()).delivered
        return self.context.ledger.balance(account) > 0 or bool(kept)

    async def _order(self, data: bytes, forwarder: str) -> None:
        message = codec.decode(data)
        if self.prover is not None and isinstance(message, OrderAnnouncement):
            self.prover.order_seen(message)

    async def _watch_funds(self) -> None:
        while True:
            await trio.sleep(GAS_PRICE_SECONDS)
            try:
                await self._tell_funds()
            except ChainError as error:
                log.debug("gas price not known", code=error.code)

    async def _tell_funds(self) -> None:
        """Tell the roles balance and gas price, when they changed enough to matter."""
        gas_price = await self.context.chain.gas_price()
        balance = self.context.ledger.balance(self.context.account.address)
        if self._funds is not None:
            known_balance, known_price = self._funds
            moved = abs(gas_price - known_price) * 10_000 > known_price * GAS_PRICE_STEP_BPS
            if known_balance == balance and not moved:
                return
        self._funds = (balance, gas_price)
        event: Event = FundsChanged(self.context.clock.now(), balance, gas_price)
        for role in (self.prover, self.verifier):
            if role is not None:
                role.shell.note(event)


@asynccontextmanager
async def running_node(
    settings: Settings, folder: DataFolder, account: Account, roles: Sequence[str]
) -> AsyncIterator[Node]:
    """Run a node for the length of a block.

    Raises:
        ProofmeshError: the folder is in use, the chain is another one, a port is taken.
    """
    with folder.locked(), open_journal(folder) as journal:
        async with (
            open_chain(settings, account, journal) as chain,
            executor_of(settings, folder) as workers,
        ):
            async with trio.open_nursery() as nursery:
                node = await _assemble(settings, folder, account, roles, chain, journal, workers, nursery)
                log.info(
                    "node is up",
                    roles=list(roles),
                    account=f"0x{account.address.hex()}",
                    addresses=list(node.context.transport.addresses),
                )
                try:
                    yield node
                finally:
                    nursery.cancel_scope.cancel()


async def _assemble(
    settings: Settings,
    folder: DataFolder,
    account: Account,
    roles: Sequence[str],
    chain: ChainView,
    journal: Journal,
    workers: Executor,
    nursery: trio.Nursery,
) -> Node:
    # A client's network key is fresh for each run: its peer id links to no history.
    identity = fresh() if set(roles) == {"client"} else load_or_create(folder.path)
    network = chain.network
    transport = Transport(
        identity,
        settings.listen,
        settings.bootstrap,
        limits=_limits(settings),
        network_tag=f"{network.chain_id}/{network.escrow.hex()}",
        announce=settings.announce,
        address_file=folder.path / "addresses",
        peer_file=folder.path / PEER_FILE,
        relays=settings.relay.through,
        serves_as_relay=settings.relay.serve,
    )
    endpoint = MarketEndpoint(network, transport)
    bundles = BundleStore(
        folder.bundles,
        settings.powers_of_tau,
        quota_bytes=settings.bundle_quota_bytes,
        least_free_bytes=settings.least_free_bytes,
    )
    bundles.quota.named |= named_bundles(settings)
    context = NodeContext(
        network=network,
        account=account,
        transport=transport,
        endpoint=endpoint,
        chain=chain,
        transactions=Transactions(chain),
        receipts=ReceiptStore(folder.receipts, chain, account),
        bundles=bundles,
        vault=Vault(folder.vault),
        workers=workers,
        storage=Storage(folder, settings.least_free_bytes),
        external=ExternalPrograms(chain),
    )
    holder: list[Node] = []
    # Nor does its introduction name the account.
    signer = None if set(roles) == {"client"} else account
    profile = Profile(tuple(sorted(roles)), signer, lambda: holder[0].least_fee())
    greeter = Greeter(
        network,
        transport,
        endpoint,
        profile,
        chain.clock.seconds,
        lambda peer, hello: holder[0].heard(peer, hello),
        lambda peer, hello: holder[0].gone(peer, hello),
    )
    node = Node(settings, context, journal, greeter)
    holder.append(node)
    node.play(roles)
    bundles.keep_while_needed(node.programs_in_work)
    bundles.tell_of_eviction(node.withdraw)
    await nursery.start(transport.run)
    bundles.serve(transport)
    await nursery.start(chain.follow, node.chain_event)
    node.caught_up()
    node.erase_orphans()
    nursery.start_soon(chain.keep_transactions)
    await node.start(nursery)
    if settings.directory != "off":
        nursery.start_soon(ChainDirectory(chain, transport, announces=settings.directory == "announce").run)
    if node.prover is not None:
        nursery.start_soon(context.external.run)
    shells = [role.shell for role in (node.client, node.prover, node.verifier) if role is not None]
    nursery.start_soon(context.storage.watch)
    nursery.start_soon(keep_status, folder, transport, shells, context.storage, chain)
    return node


def _limits(settings: Settings) -> Limits:
    relay = RelayLimits(
        reservations=settings.relay.reservations,
        circuits=settings.relay.circuits,
        circuit_bytes=settings.relay.circuit_bytes,
        circuit_seconds=settings.relay.circuit_seconds,
        bandwidth=Rate(settings.relay.bytes_per_second, 2 * settings.relay.bytes_per_second),
    )
    return Limits(exempt_networks=settings.subnet_exempt, relay=relay)


def tariff_of(settings: Settings) -> Tariff:
    """Return the figures of a prover's settings."""
    chosen = settings.prover
    return Tariff(
        wei_per_ms=chosen.wei_per_ms,
        margin_bps=chosen.margin_bps,
        least_margin_bps=chosen.least_margin_bps,
        capacity=chosen.capacity,
        exposure_cap=chosen.exposure_cap_wei,
        collateral_cap=chosen.collateral_cap_wei,
        lock_above_ms=chosen.lock_above_ms,
        promise_slack=chosen.promise_slack_seconds,
        settle_margin=chosen.settle_margin_seconds,
        verifier_patience=chosen.verifier_patience_seconds,
        verifiers=frozenset(bytes.fromhex(each.removeprefix("0x")) for each in chosen.verifiers),
    )

