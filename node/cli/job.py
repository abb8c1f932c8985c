# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh job`: ask the market for a proof, follow it, end it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from market.auction import POLICIES
from market.effects import Report
from market.refusals import explain
from node.cli.arguments import Session, address_bytes, fixed_bytes, seconds, wei
from node.cli.output import ether
from node.client_api import DEFAULT_DEADLINE, DEFAULT_GRACE, Client, JobFailedError, Request
from node.job_files import JobFileError, JobFiles
from node.opening_file import read_opening
from node.receipt import Receipt, to_json
from node.shutdown import run_until_signal
from protocol.errors import FolderLockedError, UsageError
from proving.inputs import read_inputs
from proving.readout import sentence

app = typer.Typer(no_args_is_help=True)

OrderHash = Annotated[str, typer.Argument(help="Hash of the order, from `job submit` or `job list`.")]
FINAL_PHASES = ("settled", "refunded", "failed", "cancelled")
POLL_SECONDS = 0.3


@app.command()
def submit(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Id of a model or bundle, or the folder of a bundle.")],
    inputs: Annotated[Path, typer.Argument(help="JSON file: numbers by name, or a list of them.")],
    max_price: Annotated[str, typer.Option(help="Most that the prover may get, such as 0.001eth.")],
    verifier_fee: Annotated[str, typer.Option(help="What the settling verifier gets.")] = "0",
    deadline: Annotated[
        str, typer.Option(help="Latest promise, from now, such as 90s.")
    ] = f"{DEFAULT_DEADLINE}s",
    window: Annotated[str | None, typer.Option(help="How long bids are collected.")] = None,
    policy: Annotated[str | None, typer.Option(help=f"Which bid wins: {', '.join(POLICIES)}.")] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="Account of a prover that may SEE your input. Repeatable.")
    ] = None,
    any_prover: Annotated[bool, typer.Option(help="Let any prover bid, and SEE your input.")] = False,
    collateral: Annotated[str, typer.Option(help="What a prover must put up when it locks.")] = "0",
    grace: Annotated[
        str, typer.Option(help="After the deadline, how long a late proof is taken before the refund.")
    ] = f"{DEFAULT_GRACE}s",
    receipt: Annotated[Path | None, typer.Option(help="Also write the receipt to this file.")] = None,
    opening: Annotated[
        Path | None, typer.Option(help="Opening of `proofmesh commit`: order on exactly that commitment.")
    ] = None,
    bootstrap: Annotated[list[str] | None, typer.Option(help="Multiaddress of a peer. Repeatable.")] = None,
) -> None:
    """Submit a job and wait for its proof. Ctrl-C leaves it; `job watch` takes it up again.

    With --json each thing that happens is one JSON object on a line of its own; the last line is the result or error.
    """
    session: Session = context.obj
    if policy is not None and policy not in POLICIES:
        raise UsageError(f"{policy!r} is not a policy.", remedy=f"Use one of: {', '.join(POLICIES)}.")
    _require_writable(receipt)
    values = read_inputs(inputs)
    allowed = tuple(address_bytes(text) for text in allow or ())
    settings = session.settings(bootstrap=bootstrap)
    allowed = allowed or settings.client.allow
    if not allowed and not any_prover:
        raise UsageError(
            "No prover may see the input: the allow-list is empty.",
            remedy="Name provers with --allow, or pass --any-prover; to show it to nobody: `proofmesh prove`.",
        )
    request = Request(
        max_price=wei(max_price),
        verifier_fee=wei(verifier_fee),
        deadline=seconds(deadline),
        window=seconds(window) if window else settings.client.window_seconds,
        policy=policy or settings.client.policy,
        allowed=None if any_prover else allowed,
        collateral=wei(collateral),
        grace=seconds(grace),
        secrets=None if opening is None else read_opening(opening),
    )

    async def place(client: Client) -> bytes:
        served = await client.node.context.bundles.resolve(model, client.node.context.chain)
        said.append(lambda receipt: client.read(served.manifest, receipt, values, request.secrets))
        order_hash = await client.submit(model, values, request)
        session.output.step(f"Order 0x{order_hash.hex()} is announced; bids for {request.window} s.")
        session.output.event({"event": "announced", "order_hash": order_hash})
        return order_hash

    said: list[Callable[[Receipt], dict[str, object]]] = []
    _follow(session, place, receipt, bootstrap, said)


@app.command()
def watch(
    context: typer.Context,
    order: OrderHash,
    receipt: Annotated[Path | None, typer.Option(help="Also write the receipt to this file.")] = None,
    bootstrap: Annotated[list[str] | None, typer.Option(help="Multiaddress of a peer. Repeatable.")] = None,
) -> None:
    """Follow a job to its end; takes it up again if no process works on it."""
    session: Session = context.obj
    _require_writable(receipt)
    order_hash = fixed_bytes(order, 32, "an order hash")
    try:
        known = _snapshot(session, order_hash)
    except JobFileError as error:  # the journal knows better, if the job is under way
        session.output.step(f" {error.message}", lead="Damaged:", style="yellow")
    else:
        if known["phase"] in FINAL_PHASES:
            _print_snapshot(session, known)
            return

    async def resume(client: Client) -> bytes:
        return order_hash

    try:
        _follow(session, resume, receipt, bootstrap)
    except FolderLockedError:
        session.output.step("Another process works on it; watching.")
        _watch_file(session, order_hash)


@app.command()
def status(context: typer.Context, order: OrderHash) -> None:
    """Show where a job stands: phase, bids and why one won, refusals and what they mean."""
    session: Session = context.obj
    _print_snapshot(session, _snapshot(session, fixed_bytes(order, 32, "an order hash")))


@app.command("list")
def list_jobs(context: typer.Context) -> None:
    """List the jobs of this data folder."""
    session: Session = context.obj
    jobs, damaged = JobFiles(session.folder().path / "jobs").all()
    session.output.table(
        "Jobs",
        ["order", "phase", "price (wei)", "paid (wei)", "prover"],
        [
            [j["order_hash"], j["phase"], j["price_wei"] or "-", j["paid_wei"], (j["prover"] or "-")[:12]]
            for j in jobs
        ],
    )
    for error in damaged:
        session.output.step(f" {error.message} {error.advice}", lead="Not shown:", style="yellow")
    session.output.result({"jobs": jobs, "unreadable": [error.message for error in damaged]})


@app.command()
def cancel(context: typer.Context, order: OrderHash) -> None:
    """End a job: at once before the award; after it, no further award is made. A lock is not cancelled."""
    session: Session = context.obj
    order_hash = fixed_bytes(order, 32, "an order hash")
    _snapshot(session, order_hash)
    JobFiles(session.folder().path / "jobs").ask_cancel(order_hash)

    async def resume(client: Client) -> bytes:
        return order_hash

    try:
        _follow(session, resume, None, None)
    except FolderLockedError:
        session.output.say("Asked the process that works on it to cancel.")
        session.output.result({"order_hash": order_hash, "cancel": "asked"})
    except JobFailedError:
        _print_snapshot(session, _snapshot(session, order_hash))


def _require_writable(file: Path | None) -> None:
    if file is not None and (file.is_dir() or not file.parent.is_dir()):
        raise UsageError(f"{file} cannot be written.", remedy="Name a file in a folder that exists.")


def _follow(
    session: Session,
    begin: Callable[[Client], Any],
    receipt_file: Path | None,
    bootstrap: list[str] | None,
    said: Sequence[Callable[[Receipt], dict[str, object]]] = (),
) -> None:
    """Run a client until the job that `begin` names has ended."""
    account = session.account()
    flags = {**session.flags, **({"bootstrap": bootstrap} if bootstrap else {})}
    orders: list[bytes] = []
    found: list[Receipt] = []

    async def program() -> None:
        async with Client(session.settings().data_dir, account=account, settings=flags) as client:
            client.on_report = lambda report: _tell(session, report)
            orders.append(await begin(client))
            found.append(await client.wait(orders[0]))

    interrupted = run_until_signal(program)
    if not found:
        if interrupted:
            _say_left(session, orders)
            raise KeyboardInterrupt
        return
    _print_receipt(session, found[0], receipt_file, said[0](found[0]) if said else {})


def _say_left(session: Session, orders: Sequence[bytes]) -> None:
    """Say after a signal what is under way without this process, and how to go on."""
    for order_hash in orders:
        order = f"0x{order_hash.hex()}"
        session.output.step(
            f" order {order} as it is: `proofmesh job watch {order}` takes it up again, `job cancel` ends it.",
            lead="Left",
        )
        session.output.event({"event": "left", "order_hash": order_hash})


def _print_receipt(session: Session, receipt: Receipt, file: Path | None, said: dict[str, object]) -> None:
    kept = session.folder().receipts / f"{receipt.order_hash.hex()}.json"
    if file is not None:
        try:
            file.write_text(to_json(receipt))
        except OSError as error:
            # It is paid, and kept below: not the moment to fail.
            session.output.step(f" is not written: {error.strerror}.", lead=f"Receipt {file}", style="yellow")
            file = None
    session.output.say(
        f" Paid {ether(receipt.award.price + receipt.order.verifier_fee)}; "
        f"output {sentence(said) if said else ', '.join(str(value) for value in receipt.outputs)}.",
        lead="Settled.",
        style="bold green",
    )
    session.output.say(f"Receipt: {file or kept}; check it with `proofmesh receipt verify {file or kept}`.")
    session.output.result(
        {
            "event": "settled",
            "order_hash": receipt.order_hash,
            "outputs": [str(value) for value in receipt.outputs],
            **said,
            "prover": receipt.award.prover,
            "price_wei": str(receipt.award.price),
            "transaction_hash": receipt.transaction_hash,
            "receipt": str(file or kept),
        }
    )


_STORY: dict[str, tuple[str, str, str]] = {
    "bid": ("bid", "cyan", " from {account}: {amount}"),
    "refusal": ("no bid", "yellow", " from {account}: {text}{quote}"),
    "award": ("awarded", "bold", " to {account} for {amount} (policy: {text})"),
    "award-accepted": ("", "", "{account} took the award and the sealed input; proving"),
    "award-refused": ("award refused", "yellow", " by {account}: {text}"),
    "promise-missed": ("promise missed", "red", " by {account}; asking again"),
    "lock-released": ("lock given up", "red", " by {account}; asking again"),
    "locked": ("", "", "locked on-chain by {account}"),
    "settled": ("settled", "green", ": proof verified on-chain, {account} did it, {amount} paid"),
    "refunded": ("refunded", "yellow", ": no proof came in time"),
    "failed": ("failed", "red", ""),
    "cancelled": ("cancelled", "", ""),
    "cancel-refused": ("not cancelled", "yellow", ": {text}"),
}
"""What happened, for people: a lead, its style, and the rest of the line."""


def _tell(session: Session, report: Report) -> None:
    account = f"0x{report.account.hex()[:10]}" if report.account else ""
    quote = f" (quote: {ether(report.amount)})" if report.amount else ""
    text = explain(report.text) if report.text.startswith("PM-") else report.text
    lead, style, rest = _STORY.get(report.topic, (report.topic, "", ""))
    said = rest.format(account=account, amount=ether(report.amount), text=text, quote=quote)
    session.output.step(said, lead=f"  {lead}", style=style)
    session.output.event(
        {
            "event": report.topic,
            "order_hash": report.order_hash,
            "account": report.account,
            "amount_wei": str(report.amount),
            "text": report.text,
        }
    )


def _snapshot(session: Session, order_hash: bytes) -> dict[str, Any]:
    found = JobFiles(session.folder().path / "jobs").read(order_hash)
    if found is None:
        raise UsageError(f"There is no job 0x{order_hash.hex()}.", remedy="See `proofmesh job list`.")
    return found


def _watch_file(session: Session, order_hash: bytes) -> None:
    seen = 0
    while True:
        found = _snapshot(session, order_hash)
        for line in found["story"][seen:]:
            session.output.step(f"  {line['topic']} {line['account'] or ''} {line['text']}")
            session.output.event({"event": line["topic"], **line})
        seen = len(found["story"])
        if found["phase"] in FINAL_PHASES:
            _print_snapshot(session, found)
            return
        time.sleep(POLL_SECONDS)


def _print_snapshot(session: Session, found: dict[str, Any]) -> None:
    output = session.output
    output.say(f" (round {found['round']})", lead=f"Order {found['order_hash']}: {found['phase']}")
    if found["ranking"]:
        output.table(
            f"Bids by policy {found['ranking'][0]['policy']}",
            ["prover", "price (wei)", "promised at", "score"],
            [[b["prover"], b["price_wei"], b["promise_at"], b["score_bps"]] for b in found["ranking"]],
        )
    if found["refusals"]:
        output.table(
            "Provers that did not bid",
            ["prover", "why", "quote (wei)"],
            [
                [r["prover"], explain(r["code"]), r["quote_wei"]]
                for r in found["refusals"]
            ],
        )
    if found["transaction_hash"]:
        output.say(f"Transaction {found['transaction_hash']}; paid {found['paid_wei']} wei.")
    output.result(found)
