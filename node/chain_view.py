# SPDX-License-Identifier: GPL-3.0-or-later
"""The market's contracts as a node uses them: typed reads, transactions sent once, events as they happen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Literal, TypeVar

import structlog
import trio

from contracts import bindings, directory, packing
from contracts import events as chain_events
from contracts.abi import artifact
from contracts.calldata import decode_settlements
from contracts.directory import DIRECTORY
from contracts.packing import BatchJob
from contracts.records import Advice, ModelRecord, Settlement, Status
from contracts.records import Program as ProgramRecord
from contracts.reverts import contract_error, decode_revert
from market.events import ChainExpired, ChainLocked, ChainReleased, ChainSettled, ChainUndone, JobEvent
from market.instants import SECOND
from node.chain.client import ChainClient
from node.chain.clock import ChainClock
from node.chain.endpoints import Endpoints
from node.chain.follower import WINDOW, Follower, Undone
from node.chain.records import Call, Json, Log, Receipt, hex_of, parse_bytes
from node.chain.rpc import RpcClient
from node.chain.store import Block, TransactionStore
from node.chain.transactions import SendingPolicy, TransactionSender
from node.journal import Journal
from node.ledger import Ledger
from node.receipt import Program
from node.settings import Settings
from protocol.eip712 import digest
from protocol.errors import ChainError, ConfigError, ContractRefusal, RpcMalformedError
from protocol.signing import Account
from protocol.statement import EXTERNAL_VERIFIER, GROTH16_BN254
from protocol.structs import Award, Network, Order

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # its stubs hide trio's own types from mypy

log = structlog.get_logger("proofmesh.chain")

Heard = Callable[[JobEvent], None]
Occurred = TypeVar("Occurred", bound=chain_events.Event)


class UnknownOnChainError(ChainError):
    """The Registry knows no program or model of this id."""

    code = "PM-RPC-009"
    remedy = "Check the id and the network; see `proofmesh model list`."


class AnotherProofSystemError(ChainError):
    """The program is of a proof system that nodes do not prove or check."""

    code = "PM-RPC-010"
    remedy = "Settle its proofs from their lock by the contract's `settleExternal` (docs/adr/0009)."


class ChainView:
    """Escrow and Registry through one RPC; with an account, also a sender of its transactions."""

    def __init__(
        self,
        settings: Settings,
        client: ChainClient,
        network: Network,
        sender: TransactionSender | None,
        account: bytes,
    ) -> None:
        if settings.registry is None:
            raise ConfigError(
                "The address of the Registry is not set.", remedy="Set registry in config.toml."
            )
        self.client = client
        self.network = network
        self.account_address = account
        self.clock = ChainClock()
        self.ledger = Ledger(WINDOW)
        self._settings = settings
        self._registry = settings.registry
        self._sender = sender
        self._keys: dict[bytes, tuple[int, ...]] = {}
        self._waiting: list[Block] = []

    @property
    def start_block(self) -> int:
        """The block in which the Escrow was deployed."""
        return self._settings.start_block

    # --- reads ---------------------------------------------------------------------------

    async def native_balance(self, account: bytes) -> int:
        """Return the ETH in an account's wallet, in wei."""
        return await self.client.balance(account)

    async def escrow_balance(self, account: bytes) -> int:
        """Return an account's balance in the Escrow, in wei."""
        return bindings.decode_number(await self._read(bindings.balance_of(account)))

    async def pending_withdrawal(self, account: bytes) -> tuple[int, int]:
        """Return (wei that is on its way out, second from which it can be taken)."""
        return bindings.decode_pending_withdrawal(await self._read(bindings.pending_withdrawal_of(account)))

    async def is_settled(self, order_hash: bytes) -> bool:
        """Return whether the Escrow has paid for an order."""
        state = bindings.decode_state(await self._read(bindings.state_of(order_hash)))
        return state.status is Status.SETTLED

    async def is_locked_by(self, order_hash: bytes, award: Award) -> bool:
        """Return whether the Escrow holds a lock for exactly this award."""
        state = bindings.decode_state(await self._read(bindings.state_of(order_hash)))
        return state.status is Status.LOCKED and state.content == digest(self.network, award)[:31]

    async def gas_price(self) -> int:
        """Return what a unit of gas costs in the next block, in wei."""
        return await self.client.base_fee() + await self.client.tip()

    async def verifying_key(self, program_id: bytes) -> tuple[int, ...]:
        """Return the words of a program's verifying key; remembered, for it never changes."""
        if program_id not in self._keys:
            found = await self.program(program_id)
            self._keys[program_id] = found.verifying_key
        return self._keys[program_id]

    async def program(self, program_id: bytes) -> Program:
        """Return what the Registry holds of a program.

        Raises:
            UnknownOnChainError: nothing.
            AnotherProofSystemError: no verifying key, but a contract that verifies.
        """
        record = await self.registered(program_id)
        if record.proof_system == EXTERNAL_VERIFIER:
            raise AnotherProofSystemError(
                f"Program 0x{program_id.hex()} is of another proof system: the contract 0x{record.key_pointer.hex()} "
                "verifies it."
            )
        if record.proof_system != GROTH16_BN254:
            raise UnknownOnChainError(f"Program 0x{program_id.hex()} is not registered.")
        key = await self.client.call(self._registry, bindings.verifying_key_of(program_id))
        return Program(
            verifying_key=bindings.decode_verifying_key(key),
            layout=record.layout,
            setup_id=record.setup_id,
            dev=record.dev,
        )

    async def registered(self, program_id: bytes) -> ProgramRecord:
        """Return what the Registry holds of a program, of any proof system (zero if there is none)."""
        return bindings.decode_program(await self.client.call(self._registry, bindings.program_of(program_id)))

    async def allows_dev(self) -> bool:
        """Return whether the Escrow pays for proofs under development keys."""
        return bool(bindings.decode_number(await self._read(bindings.allow_dev())))

    async def model_terms(self, model_id: bytes) -> tuple[bytes, int]:
        """Return (program, royalty in basis points) of a model; zeros if there is none."""
        answer = await self.client.call(self._registry, bindings.terms_of(model_id))
        program_id, _, royalty_bps = bindings.decode_terms(answer)
        return program_id, royalty_bps

    async def verifier_of(self, program_id: bytes) -> tuple[bytes, bytes] | None:
        """Return (contract, hash of its code) that verifies a program of another proof system; None for Groth16."""
        if (await self.registered(program_id)).proof_system != EXTERNAL_VERIFIER:
            return None
        return bindings.decode_verifier(await self.client.call(self._registry, bindings.verifier_of(program_id)))

    async def model(self, model_id: bytes) -> tuple[bytes, ModelRecord]:
        """Return (publisher, record) of a model; reverts as UnknownModel if there is none."""
        data = await self.client.call(self._registry, bindings.model_of(model_id))
        return bindings.decode_model(data)

    async def models(self) -> list[chain_events.ModelPublished]:
        """Return every model that was published, oldest first."""
        return [event for _, event in await self.past("Registry", chain_events.ModelPublished)]

    async def lineage_of(self, model_id: bytes, limit: int) -> tuple[bytes, ...]:
        """Return the model, its parent, the parent's parent: at most `limit`, none for an unknown model."""
        return bindings.decode_lineage(
            await self.client.call(self._registry, bindings.lineage_of(model_id, limit))
        )

    async def advice_of(self, model_id: bytes) -> tuple[Advice, bytes]:
        """Return (what the publisher advises now, the model to use instead, zero for none)."""
        return bindings.decode_advice(await self.client.call(self._registry, bindings.advice_of(model_id)))

    async def past(
        self,
        contract: Literal["Escrow", "Registry"],
        kind: type[Occurred],
        *indexed: bytes | None,
        first_block: int = 0,
    ) -> list[tuple[Log, Occurred]]:
        """Return a contract's events of one kind since its deployment or a later block, oldest first; None takes any
        value.

        Raises:
            RpcMalformedError: the RPC gave a log that no such contract writes.
        """
        topics = [chain_events.event_topic(contract, kind.__name__), *indexed]
        where = {
            "address": hex_of(self._registry if contract == "Registry" else self.network.escrow),
            "topics": [None if topic is None else hex_of(topic) for topic in topics],
        }
        logs = await self.client.past_logs(where, max(first_block, self._settings.start_block))
        decoded = [(each, _event_of(each)) for each in logs]
        return [(each, event) for each, event in decoded if isinstance(event, kind)]

    async def announced(self, first_block: int) -> list[tuple[Log, chain_events.Announced]]:
        """Return what accounts said to the directory of where their nodes of this market are, oldest first."""
        topics = [chain_events.event_topic("PeerDirectory", "Announced"), self.network.escrow.rjust(32, b"\0")]
        where = {"address": hex_of(DIRECTORY), "topics": [hex_of(topic) for topic in topics]}
        found: list[tuple[Log, chain_events.Announced]] = []
        for each in await self.client.past_logs(where, max(first_block, self._settings.start_block)):
            event = _event_of(each)
            if isinstance(event, chain_events.Announced):
                found.append((each, event))
        return found

    async def settlements_in(self, transaction_hash: bytes) -> tuple[tuple[Settlement, ...], int]:
        """Return (what a transaction claims to settle, its block number): of an order perhaps more than is true.

        Raises:
            RpcMalformedError: the transaction is unknown.
            RpcRefusedError: it called another contract, which called the Escrow, and the RPC gives no traces.
        """
        found = await self.client.rpc.call("eth_getTransactionByHash", hex_of(transaction_hash))
        if not isinstance(found, dict) or found.get("blockNumber") is None:
            raise RpcMalformedError("The RPC does not know the settling transaction.")
        calls = [found]
        if not _is_to(found, self.network.escrow):
            tracer: Json = {"tracer": "callTracer"}
            calls = _calls_in(await self.client.rpc.call("debug_traceTransaction", hex_of(transaction_hash), tracer))
        settlements: list[Settlement] = []
        for call in calls:
            if _is_to(call, self.network.escrow):
                with suppress(ValueError):  # a call that settles nothing
                    settlements += decode_settlements(self.network, parse_bytes(call.get("input"), "call data"))
        return tuple(settlements), int(found["blockNumber"], 16)

    async def statement_of(self, order_hash: bytes) -> bytes:
        """Return the first 31 bytes of the hash of the statement that the Escrow has paid for.

        Raises:
            RpcMalformedError: it has paid for none.
        """
        state = bindings.decode_state(await self._read(bindings.state_of(order_hash)))
        if state.status is not Status.SETTLED:
            raise RpcMalformedError("The RPC's chain does not know the order as settled.")
        return state.content

    async def _read(self, data: bytes) -> bytes:
        return await self.client.call(self.network.escrow, data)

    # --- transactions --------------------------------------------------------------------

    async def deposit(self, amount: int, key: str) -> Receipt:
        """Pay ETH into the Escrow."""
        return await self._send(key, bindings.deposit(), amount)

    async def request_withdrawal(self, amount: int, key: str) -> Receipt:
        """Announce a withdrawal."""
        return await self._send(key, bindings.request_withdraw(amount))

    async def withdraw(self, key: str) -> Receipt:
        """Take what was announced into the account's wallet."""
        return await self._send(key, bindings.withdraw(self.account_address))

    async def settle(self, settlement: Settlement, locking: Award | None, key: str) -> Receipt:
        """Settle: directly, by the award that locked, or by another one after `locking` missed its promise."""
        if locking is None or locking == settlement.award:
            return await self._send(key, bindings.settle(settlement))
        return await self._send(key, bindings.settle_voided(settlement, locking))

    async def settle_batch(self, jobs: Sequence[BatchJob], key: str) -> Receipt:
        """Settle several jobs in one transaction; those that are not live by then are skipped."""
        return await self._send(key, packing.settle_batch(jobs))

    async def try_batch(self, jobs: Sequence[BatchJob]) -> tuple[str | None, ...]:
        """Return what `settle_batch` would answer now: for each job None, or why it would be skipped.

        Raises:
            RevertedError: a proof is bad, or no job is live.
        """
        data = packing.settle_batch(jobs)
        answer = await self.client.call(self.network.escrow, data, sender=self.account_address)
        return packing.refusals_of(answer)

    async def lock(self, order: Order, award: Award, signature: bytes, key: str) -> Receipt:
        """Lock an order for this account's award."""
        return await self._send(key, bindings.lock(order, award, signature))

    async def release(self, order: Order, locking: Award, key: str) -> Receipt:
        """Give up this account's lock before its promise, at a price."""
        return await self._send(key, bindings.release(order, locking))

    async def expire(self, order: Order, locking: Award, key: str) -> Receipt:
        """Refund the client of a lock after the end of its order."""
        return await self._send(key, bindings.expire(order, locking))

    async def request_cancel(self, order: Order, key: str) -> Receipt:
        """Begin the delayed cancel of an order."""
        return await self._send(key, bindings.request_cancel(order))

    async def announce(self, addresses: Sequence[str], key: str) -> Receipt:
        """Say in the directory where this account's node can be reached."""
        return await self._send_to(DIRECTORY, key, directory.announce(self.network.escrow, addresses))

    async def register_program(self, program: Program) -> Receipt:
        """Put a program's verifying key on the chain."""
        data = bindings.register_program(
            program.proof_system, program.verifying_key, program.layout, program.setup_id, program.dev
        )
        return await self._send_to(self._registry, f"program-{program.id().hex()}", data)

    async def publish_model(self, record: ModelRecord) -> tuple[bytes, Receipt]:
        """Publish a model; return its id and the receipt."""
        identity = bindings.model_id(self.account_address, record)
        return identity, await self._send_to(
            self._registry, f"model-{identity.hex()}", bindings.publish_model(record)
        )

    async def _send(self, key: str, data: bytes, value: int = 0) -> Receipt:
        return await self._send_to(self.network.escrow, key, data, value)

    async def _send_to(self, to: bytes, key: str, data: bytes, value: int = 0) -> Receipt:
        if self._sender is None:
            raise ConfigError("This command has no account to send transactions from.")
        return await self._sender.send(key, Call(to, data, value))

    async def keep_transactions(self) -> None:
        """Keep what was sent alive until it is final, for ever; at once if there is no sender."""
        if self._sender is not None:
            await self._sender.run()

    # --- following -----------------------------------------------------------------------

    async def follow(
        self, heard: Heard, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Read all events from the deployment on, then go on for ever; started once at the head.

        The whole history is read at every start: the ledger is derived, never trusted from disk.
        """
        follower = Follower(
            self.client,
            (self.network.escrow,),
            _NoBlocks(),  # type: ignore[arg-type]
            chain_id=self.network.chain_id,
            start_block=self._settings.start_block,
            poll_s=self._settings.poll_ms / 1000,
            clock=self.clock,
            topics=tuple(artifact("Escrow").events),
        )

        async def handle(block: Block | Undone) -> None:
            self._handle(block, heard)

        while await follower.step(handle):
            pass
        task_status.started()
        await follower.run(handle)

    def _handle(self, block: Block | Undone, heard: Heard) -> None:
        if isinstance(block, Undone):
            self.ledger.undo(block.block.hash)
            if block.block in self._waiting:
                self._waiting.remove(block.block)
            else:
                log.warning("a block that was acted on was replaced", block=block.block.number)
                for entry in reversed(block.block.logs):
                    if (undone := _job_event(entry, 0)) is not None:
                        self.take_back(undone.order_hash, heard)
            return
        self._waiting.append(block)
        events = [_decode(entry) for entry in block.logs]
        self.ledger.apply(block.hash, [event for event in events if event is not None])
        while self._waiting and block.number - self._waiting[0].number + 1 >= self._settings.confirmations:
            confirmed = self._waiting.pop(0)
            for entry in confirmed.logs:
                job_event = _job_event(entry, confirmed.timestamp * SECOND)
                if job_event is not None:
                    heard(job_event)

    def take_back(self, order_hash: bytes, heard: Heard) -> None:
        """What the machines heard of an order holds no longer; a lock that was there before still does."""
        now, lock = self.clock.now(), self.ledger.lock_of(order_hash)
        heard(ChainUndone(now, order_hash))
        if lock is not None:
            award = lock.award
            heard(
                ChainLocked(now, order_hash, lock.award_hash, award.prover, award.promise_at, award.price)
            )


def _is_to(call: dict[str, Json], contract: bytes) -> bool:
    return str(call.get("to")).lower() == hex_of(contract)


def _calls_in(trace: Json) -> list[dict[str, Json]]:
    """All calls of a trace, in any order."""
    found: list[dict[str, Json]] = []
    waiting = [trace]
    while waiting:
        call = waiting.pop()
        if isinstance(call, dict):
            found.append(call)
            inner = call.get("calls")
            waiting += inner if isinstance(inner, list) else []
    return found


class _NoBlocks:
    """The follower's memory when nothing is to be remembered across restarts."""

    window = WINDOW

    def load(self) -> list[Block]:
        return []

    def save(self, undone: Sequence[Block], added: Sequence[Block]) -> None:
        """Forget."""


def _event_of(entry: Log) -> chain_events.Event | None:
    try:
        return chain_events.decode_event(entry.topics, entry.data)
    except ValueError as error:
        raise RpcMalformedError(f"A log cannot be read: {error}.") from None


def _decode(entry: Log) -> chain_events.EscrowEvent | None:
    try:
        event = chain_events.decode_event(entry.topics, entry.data)
    except ValueError as error:
        log.error("an event cannot be decoded", transaction=hex_of(entry.transaction_hash), reason=str(error))
        return None
    return event if isinstance(event, chain_events.EscrowEvent) else None


def _job_event(entry: Log, at: int) -> JobEvent | None:
    match _decode(entry):
        case chain_events.Locked() as event:
            award = event.award
            return ChainLocked(
                at, event.order_hash, event.award_hash, event.prover, award.promise_at, award.price
            )
        case chain_events.Settled() as event:
            pay = event.payment
            return ChainSettled(
                at,
                event.order_hash,
                entry.transaction_hash,
                pay.prover,
                pay.payout,
                pay.fee_to,
                pay.price,
                pay.verifier_fee,
            )
        case chain_events.Released() as event:
            return ChainReleased(at, event.order_hash, event.prover)
        case chain_events.Expired() as event:
            return ChainExpired(at, event.order_hash, entry.transaction_hash)
        case _:
            return None


def own_refusal(data: bytes) -> ContractRefusal | None:
    """Return the error, with code and remedy, that one of our contracts refused with; None for anybody else's words."""
    revert = decode_revert(data)
    return contract_error(data) if revert is not None and revert.name not in ("Error", "Panic") else None


def _clients(settings: Settings) -> list[RpcClient]:
    """One client an endpoint; where there is another to ask, none is asked twice in vain."""
    urls = settings.rpc_endpoints
    attempts = {} if len(urls) == 1 else {"attempts": 1}
    return [RpcClient(url, decoder=own_refusal, **attempts) for url in urls]


@asynccontextmanager
async def open_chain(
    settings: Settings, account: Account | None = None, journal: Journal | None = None
) -> AsyncIterator[ChainView]:
    """Connect to the chain of the settings.

    Raises:
        ConfigError: Escrow or Registry is not set.
        ChainError: the RPC is down, or serves another chain.
    """
    if settings.escrow is None or settings.registry is None:
        raise ConfigError(
            "The addresses of Escrow and Registry are not set.",
            remedy="Run `proofmesh devnet up`, or set escrow and registry in config.toml.",
        )
    network = Network(chain_id=settings.chain_id, escrow=settings.escrow)
    async with Endpoints(_clients(settings), settings.chain_id) as rpc:
        client = ChainClient(rpc)
        await client.require_chain(settings.chain_id)
        sender = None
        if account is not None and journal is not None:
            policy = SendingPolicy(poll_s=settings.poll_ms / 1000, final=settings.confirmations)
            sender = TransactionSender(client, account, settings.chain_id, TransactionStore(journal), policy)
            await sender.resume()
        yield ChainView(settings, client, network, sender, account.address if account else bytes(20))
