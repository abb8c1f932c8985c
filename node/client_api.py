# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python client: `async with Client() as client: receipt = await client.prove(model, inputs, ...)`.

Runs under trio. The client is a node of its own (a fresh libp2p host, a journal): a job that a process
left unfinished is taken up by the next one on the same data folder.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import trio

from market.client import FINAL, Job, Phase, transition
from market.effects import Report
from market.events import CancelAsked, OrderPlaced
from market.instants import SECOND
from market.refusals import explain
from node.bundle_store import Served
from node.config import load_settings
from node.data_folder import open_data_folder
from node.job_files import JobFiles
from node.keystore import load_keystore, read_password
from node.log import quiet_unless_configured
from node.private_input import PrivateInput
from node.receipt import Receipt
from node.runtime import Node, running_node
from node.settings import Settings
from protocol.eip712 import digest
from protocol.errors import ProofmeshError, UsageError
from protocol.scalars import ZERO_HASH
from protocol.signing import Account
from protocol.structs import Order
from proving.inputs import parse_inputs
from proving.manifest import Manifest
from proving.readout import read_out
from proving.statement.commitment import Secrets, order_secrets
from proving.statement.opening import commitments_of

DEFAULT_DEADLINE = 120
"""Seconds in which a promise must lie, when the caller names none."""
DEFAULT_GRACE = 30
"""Seconds between the latest promise and the end of the order."""


class DepositTooSmallError(ProofmeshError):
    """The deposit does not cover price cap and verifier fee."""

    code = "PM-FND-001"
    exit_code = 7
    remedy = "Run `proofmesh wallet deposit`."


class JobFailedError(ProofmeshError):
    """The job ended without a proof."""

    code = "PM-JOB-001"
    exit_code = 1


class NoBidsError(JobFailedError):
    """Nobody bid; the reasons that provers gave are in the message."""

    code = "PM-JOB-002"
    exit_code = 6
    remedy = "Raise --max-price or --deadline, or allow more provers with --allow."


class ReceiptMissingError(ProofmeshError):
    """The job is proved and paid, but its RPC does not give what the receipt is made of."""

    code = "PM-JOB-004"
    exit_code = 4
    remedy = "Run `proofmesh job watch ORDER` with another rpc_url: one that gives traces, if a contract settled it."


RECEIPT_SECONDS = 300.0
"""How long a receipt is waited for once the chain has settled its order."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller wants, in wei and seconds. `allowed` None is any prover; it will see the input."""

    max_price: int
    verifier_fee: int
    deadline: int
    window: int
    policy: str
    allowed: tuple[bytes, ...] | None
    collateral: int = 0
    secrets: Secrets | None = field(default=None, repr=False)
    """The opening of commitments made earlier (`proofmesh commit`); None draws one for this order alone."""
    grace: int = DEFAULT_GRACE
    """Seconds after the latest promise in which a late proof is still taken, before the refund."""


class Client:
    """A client of the market. Use as an async context manager, under trio.

    Args:
        data_dir: the data folder; default as for the command line.
        password: of its keystore; default from the environment as for the command line.
        settings: settings by dotted key, over those of config.toml.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        password: str | None = None,
        *,
        account: Account | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        quiet_unless_configured()
        self._settings: Settings = load_settings(data_dir, settings)
        self._folder = open_data_folder(self._settings.data_dir)
        self._account = account or load_keystore(self._folder.keystore, password or read_password())
        self._stack = AsyncExitStack()
        self._changed = trio.Event()
        self._stories: dict[bytes, list[dict[str, Any]]] = {}
        self._files = JobFiles(self._folder.path / "jobs")
        self._node: Node | None = None
        self.on_report: Callable[[Report], None] = lambda report: None

    async def __aenter__(self) -> Client:
        node = await self._stack.enter_async_context(
            running_node(self._settings, self._folder, self._account, ["client"])
        )
        self._node = node
        assert node.client is not None
        self._files.agree(node.client.shell.state.jobs)
        node.client.shell.listen(self._report)
        nursery = await self._stack.enter_async_context(trio.open_nursery())
        self._stack.callback(nursery.cancel_scope.cancel)
        nursery.start_soon(self._take_cancels)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def node(self) -> Node:
        """The running node."""
        if self._node is None:
            raise UsageError("The client is not running; use `async with Client(...)`.")
        return self._node

    async def prove(
        self,
        model: str | Path,
        inputs: Mapping[str, object] | Sequence[object],
        *,
        max_price: int,
        deadline: int = DEFAULT_DEADLINE,
        verifier_fee: int = 0,
        window: int | None = None,
        policy: str | None = None,
        allowed: Sequence[bytes] | None = (),
        collateral: int = 0,
        secrets: Secrets | None = None,
    ) -> Receipt:
        """Have a proof made and settled; return its receipt.

        Args:
            model: id of a model or bundle, or a bundle's folder.
            inputs: raw integers by name, or in the model's order.
            max_price: most wei for the prover. `deadline`: seconds from now. `verifier_fee`: wei.
            allowed: accounts that may see the input; None is anyone. `collateral`: wei that a lock takes.
            secrets: the opening of commitments made earlier; None draws one for this order.

        Raises:
            DepositTooSmallError, NoBidsError, JobFailedError, or what the inputs are refused for.
        """
        request = Request(
            max_price=max_price,
            verifier_fee=verifier_fee,
            deadline=deadline,
            window=window or self._settings.client.window_seconds,
            policy=policy or self._settings.client.policy,
            allowed=None if allowed is None else tuple(allowed) or self._settings.client.allow,
            collateral=collateral,
            secrets=secrets,
        )
        return await self.wait(await self.submit(model, inputs, request))

    async def submit(
        self, model: str | Path, inputs: Mapping[str, object] | Sequence[object], request: Request
    ) -> bytes:
        """Place an order and return its hash; `wait` gives the receipt.

        Raises:
            DepositTooSmallError: the deposit is too small. Also what the inputs are refused for.
        """
        self.node.context.storage.require_room()
        served = await self.node.context.bundles.resolve(model, self.node.context.chain)
        await self.node.context.bundles.audited(served.bundle, self.node.context.workers)
        values = parse_inputs(served.manifest.inputs, inputs)
        chain, network = self.node.context.chain, self.node.context.network
        total, free = request.max_price + request.verifier_fee, await chain.escrow_balance(self.account)
        if free < total:
            raise DepositTooSmallError(f"The deposit holds {free} wei, the order may cost {total}.")
        order, opening = await self._order(served, values, request)
        order_hash = digest(network, order)
        self.node.context.vault.put(self.node.context.input_name(order_hash), opening.to_bytes())
        assert self.node.client is not None
        now = self.node.context.clock.now()
        placed = OrderPlaced(now, order_hash, order, request.policy, request.window * SECOND, request.allowed)
        # Its file comes first: who dies in between finds the order by it, and does not order twice.
        self._files.write(transition(self.node.client.shell.state, placed)[0].jobs[order_hash], [])
        self.node.client.shell.feed(placed)
        return order_hash

    async def wait(self, order_hash: bytes) -> Receipt:
        """Return the receipt of a job once it is settled.

        Raises:
            NoBidsError, JobFailedError: it ended in another way.
            ReceiptMissingError: it is settled, and the RPC does not say how.
        """
        patience = trio.current_time() + RECEIPT_SECONDS
        while True:
            changed = self._changed
            job = self.job(order_hash)
            if job.phase is Phase.SETTLED:
                receipt = self.node.context.receipts.find(order_hash)
                if receipt is not None:
                    self._write(order_hash)
                    return receipt
                if trio.current_time() >= patience:
                    transaction = (job.transaction_hash or b"").hex()
                    raise ReceiptMissingError(f"Transaction 0x{transaction} settled the order, but cannot be read.")
            elif job.phase in FINAL:
                self._write(order_hash)
                raise _failure(job)
            else:
                patience = trio.current_time() + RECEIPT_SECONDS
            with trio.move_on_after(0.2):
                await changed.wait()

    def read(
        self,
        manifest: Manifest,
        receipt: Receipt,
        inputs: Mapping[str, object] | Sequence[object] | None = None,
        secrets: Secrets | None = None,
    ) -> dict[str, object]:
        """Return what a receipt's outputs say, by name, and what they mean.

        `inputs`, those of the order, open a sealed output; `secrets` are needed only where the order was placed
        with an opening of its own.

        Raises:
            StatementError: the receipt is of another program, or the inputs are not those of the order.
        """
        opening = secrets or order_secrets(self._account.secret(), receipt.order.salt)
        values = None if inputs is None else parse_inputs(manifest.inputs, inputs)
        return read_out(manifest, receipt.public_inputs(), values, opening)

    def cancel(self, order_hash: bytes) -> None:
        """Ask for a job's end; an award that is out stays good until its promise."""
        assert self.node.client is not None
        self.node.client.shell.hear(CancelAsked(self.node.context.clock.now(), order_hash))

    def job(self, order_hash: bytes) -> Job:
        """Return a job as it stands.

        Raises:
            UsageError: there is none of that hash.
        """
        assert self.node.client is not None
        job = self.node.client.shell.state.jobs.get(order_hash)
        if job is None:
            raise UsageError(f"There is no job 0x{order_hash.hex()}.", remedy="See `proofmesh job list`.")
        return job

    @property
    def account(self) -> bytes:
        """The account that signs and pays."""
        return self._account.address

    async def _order(
        self, served: Served, values: tuple[int, ...], request: Request
    ) -> tuple[Order, PrivateInput]:
        salt = secrets.token_bytes(32)
        own = request.secrets or order_secrets(self._account.secret(), salt)
        private = PrivateInput(values, own)
        commitment = commitments_of(served.manifest.statement_layout, values, own)[0]
        now = self.node.context.clock.now() // SECOND
        order = Order(
            client=self.account,
            program_id=served.program_id,
            model_id=served.model_id or ZERO_HASH,
            input_commitment=commitment,
            price_cap=request.max_price,
            verifier_fee=request.verifier_fee,
            royalty_bps=served.royalty_bps,
            collateral=request.collateral,
            promise_by=now + request.deadline,
            final_by=now + request.deadline + request.grace,
            salt=salt,
        )
        return order, private

    def _report(self, report: Report) -> None:
        line = {
            "at": self.node.context.clock.now() // SECOND,
            "topic": report.topic,
            "account": None if report.account is None else "0x" + report.account.hex(),
            "amount_wei": str(report.amount),
            "text": report.text,
        }
        self._stories.setdefault(report.order_hash, []).append(line)
        self._write(report.order_hash)
        self.on_report(report)
        self._changed.set()
        self._changed = trio.Event()

    def _write(self, order_hash: bytes) -> None:
        assert self.node.client is not None
        job = self.node.client.shell.state.jobs.get(order_hash)
        if job is not None:
            self._files.write(job, self._stories.get(order_hash, []))

    async def _take_cancels(self) -> None:
        while True:
            for order_hash in self._files.cancels():
                self.cancel(order_hash)
            await trio.sleep(0.5)


def _failure(job: Job) -> JobFailedError:
    reasons = "; ".join(
        f"0x{prover.hex()[:8]}: {explain(code)}" + (f" (quote: {quote} wei)" if quote else "")
        for prover, code, quote in job.refused
    )
    if job.phase is Phase.FAILED and job.decision is None:
        if not reasons:
            return NoBidsError(
                f"Nobody answered in {job.round} rounds.",
                remedy="Connect to the market: --bootstrap, or bootstrap in config.toml; and see that provers run.",
            )
        return NoBidsError(f"Nobody bid in {job.round} rounds. {reasons}.")
    if job.phase is Phase.REFUNDED:
        return JobFailedError(
            "No proof came in time; the lock's payment was refunded.", remedy="Submit again."
        )
    return JobFailedError(f"The job ended: {job.phase}. {reasons}".rstrip(), remedy="Submit it again.")
