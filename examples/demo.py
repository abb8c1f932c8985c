# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: a whole market on this machine, on real data, with the attacks that it stands.

Processes of their own: anvil, a publisher, a verifier, three provers, and each command of the client. The
model is trained here on 4,039 real credit applications; the applicants are held out from training.
Everything said on the screen goes to build/demo.json too, which examples/demo_check.py judges.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio
from rich.console import Console

from contracts import bindings
from contracts.records import Settlement
from node.chain.records import Call
from node.chain.store import TransactionStore
from node.chain.transactions import SendingPolicy, TransactionSender
from node.chain_view import ChainView, open_chain
from node.cli.arguments import network_of
from node.cli.output import ether, hexed
from node.config import load_settings
from node.devnet.anvil import find_anvil
from node.devnet.world import Plan, ProverPlan, World, running_devnet
from node.endpoint import MarketEndpoint
from node.journal import Journal
from node.keystore import load_keystore
from node.log import configure_logging
from node.net import Transport
from node.net.identity import fresh
from node.receipt import Receipt, from_json
from protocol.eip712 import digest
from protocol.errors import RevertedError, TransactionRevertedError
from protocol.messages import ProofMessage, Refusal
from protocol.signing import Account
from protocol.structs import Award

sys.path[0] = str(Path(__file__).resolve().parents[1])  # run as a script
from examples.lending import Lending, lend  # noqa: E402

BUILD = Path("build")
WORK = BUILD / "demo"
EXPOSURE = {"PROOFMESH_PROVER_EXPOSURE_CAP_WEI": str(10**18)}
PROVERS = (
    ProverPlan(50_000_000_000_000, 40, EXPOSURE),
    ProverPlan(80_000_000_000_000, 30, EXPOSURE),
    ProverPlan(120_000_000_000_000, 20, EXPOSURE),
)
MAX_PRICE, FEE, COLLATERAL = "0.1eth", "0.002eth", "0.1eth"
LOCK_FIRST = {
    "PROOFMESH_PROVER_LOCK_ABOVE_MS": "0",
    "PROOFMESH_PROVER_PROMISE_SLACK_SECONDS": "14",
    # It looks at the chain every three seconds only: time enough to be cut off between lock and proof.
    "PROOFMESH_POLL_MS": "3000",
}

console = Console(highlight=False, soft_wrap=True)
Fields = dict[str, Any]


def main() -> int:
    """Run the demo; 0 when everything went as told."""
    began = time.monotonic()
    configure_logging(level="error", format="console")
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    record: Fields = {"started": True}
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        trio.run(_demo, record)
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 130
    record["wall_seconds"] = round(time.monotonic() - began, 1)
    (BUILD / "demo.json").write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    _ending(record)
    return 0


async def _demo(record: Fields) -> None:
    _title("1. A model, trained on real credit applications")
    bundle = await _train(record)
    _title("2. A market: chain, publisher, verifier, three provers")
    plan = Plan(WORK / "devnet", find_anvil(), PROVERS, 1, (bundle,))
    async with running_devnet(plan) as world:
        demo = Demo(world, bundle, record)
        await demo.introduce()
        _title("3. Proved at home: nobody else sees the applicant's data; a pool lends on it")
        await demo.prove_locally()
        await demo.borrow()
        _title("4. Proved by the market: an allowed prover, a verifier, a payment")
        receipt = await demo.buy_a_proof()
        _title("5. An applicant below the threshold")
        await demo.below_threshold()
        _title("6. A tampered proof")
        await demo.tampered_proof(receipt)
        _title("7. A prover that goes silent after locking; another one does the job")
        await demo.silent_prover()
        _title("8. The same, and nobody else is there: the client is refunded")
        await demo.silent_and_alone()
        await demo.conserved()


async def _train(record: Fields) -> Path:
    script = Path(__file__).with_name("credit") / "train.py"
    done = await trio.run_process(
        [sys.executable, str(script), str(WORK / "credit")], capture_stdout=True, capture_stderr=True
    )
    trained: Fields = json.loads(done.stdout)
    record["model"] = trained
    console.print(
        f"credit_data: 4,454 applications, 4,039 complete; a scaler and 16 ReLU neurons, "
        f"{trained['fitted_rows']} applications to learn from, {trained['held_out_rows']} held out."
    )
    console.print(
        f"Held out: accuracy [bold]{trained['held_out_accuracy']}[/] (always saying yes: "
        f"{trained['majority_rate']}), AUC {trained['held_out_auc']}."
    )
    console.print(
        f"As a circuit: [bold]{trained['constraints']}[/] constraints; it decides like the float model on "
        f"{float(trained['circuit_decision_agreement']):.0%} of the held-out applications."
    )
    console.print(f"A proof says: {trained['says']}.")
    return Path(trained["bundle"])


class Demo:
    """The client's side of the story."""

    def __init__(self, world: World, bundle: Path, record: Fields) -> None:
        self.world = world
        self.bundle = bundle
        self.record = record
        self.client = world.devnet.node("client")
        self.settings = load_settings(Path(self.client.data_dir), environ={})
        self.names = {bytes.fromhex(node.account[2:]): node.name for node in world.devnet.nodes}

    # --- steps ---------------------------------------------------------------------------

    async def introduce(self) -> None:
        """Wait until every prover has pulled and audited the bundle, and show who is there."""
        serving = await self._wait_for(lambda: self._count_serving() == len(PROVERS))
        for node in self.world.devnet.nodes:
            console.print(f"  {node.name:<11} {node.account}  process {node.node_pid or '-'}")
        model = self.world.devnet.models[0]
        console.print(f"Published with its provenance: model {model['model_id'][:18]}..., royalty 5% of each price.")
        console.print("Each prover pulled the bundle over libp2p, compiled the model again and compared the circuit.")
        pulled = (await self._cli("model", "pull", model["bundle_id"]))[-1]
        console.print("The client pulled and audited it too, before it trusts it with an input.")
        self.record["client_pulled"] = pulled["bundle_id"]
        self.record["provers_serving"] = self._count_serving() if serving else 0
        self.record["published"] = model

    async def prove_locally(self) -> None:
        """Prove and verify on this machine, bound to the applicant's wallet."""
        out = WORK / "local-proof.json"
        bundle, inputs = str(self.bundle), str(WORK / "credit" / "accepted.json")
        wallet = self.client.account
        proved = (await self._cli("prove", bundle, inputs, "--out", str(out), "--subject", wallet))[-1]
        checked = (await self._cli("verify", bundle, str(out)))[-1]
        console.print(f"Witness {proved['witness_ms']} ms, proof {proved['proving_ms']} ms, 256 bytes.")
        console.print(f"Verified: output [bold]{checked['outputs'][0]}[/]: {proved['meaning']}.")
        self.record["local"] = {**proved, "valid": checked["valid"]}

    async def borrow(self) -> None:
        """A pool lends without collateral, to who proves a score on data that a bank attests; and to nobody else."""
        program = bytes.fromhex(self.world.devnet.models[0]["program_id"][2:])
        told = await lend(Lending(self.world, self._cli, self.bundle, WORK, program))
        for name, outcome in told.items():
            console.print(f"  {name}: " + (f"lent {ether(int(outcome['lent_wei']))}" if not outcome["refused"]
                                           else f"refused: {outcome['refused']}"))
        self.record["lending"] = told

    async def buy_a_proof(self) -> Receipt:
        """One job through the market, every balance before and after, the receipt checked."""
        before = await self._balances()
        receipt = await self._settled_job("accepted.json", self._allow("prover-1", "prover-2", "prover-3"))
        after = await self._balances()
        price, royalty = receipt.award.price, receipt.award.price * 500 // 10_000
        expected = {
            "client": -(price + receipt.order.verifier_fee),
            self.names[receipt.award.prover]: price - royalty,
            "verifier-1": receipt.order.verifier_fee,
            "publisher": royalty,
        }
        meaning = {"client": "paid", "verifier-1": "verifier fee", "publisher": "royalty"}
        for name in sorted(before):
            change = after[name] - before[name]
            why = meaning.get(name, "price less royalty" if change else "not awarded")
            console.print(f"  {name:<11} {ether(before[name]):>26} -> {ether(after[name]):<26} {why}")
        gas = await self._gas(receipt)
        console.print(f"Transaction 0x{receipt.transaction_hash.hex()}, {gas:,} gas.")
        file = WORK / "receipt.json"
        checks = (await self._cli("receipt", "verify", str(file), "--rpc", self.world.devnet.rpc_url))[-1]
        console.print(f"The receipt, checked against signatures, proof and chain: [bold]{checks['valid']}[/].")
        self.record["market"] = {
            "outputs": [str(value) for value in receipt.outputs],
            "prover": self.names[receipt.award.prover],
            "price_wei": str(price),
            "royalty_wei": str(royalty),
            "fee_wei": str(receipt.order.verifier_fee),
            "gas": gas,
            "changes_wei": {name: str(after[name] - before[name]) for name in before},
            "expected_wei": {name: str(expected.get(name, 0)) for name in before},
            "receipt_valid": checks["valid"],
            "receipt_checks": checks["checks"],
            "transaction_hash": hexed(receipt.transaction_hash),
        }
        return receipt

    async def below_threshold(self) -> None:
        """The proof says no, truthfully, and is paid all the same."""
        receipt = await self._settled_job("rejected.json", self._allow("prover-1"), name="below")
        console.print(f"Output [bold]{receipt.outputs[0]}[/]: the probability is below 0.7. The job is paid: "
                      f"a prover earns for the truth, not for a yes.")
        self.record["below_threshold"] = {
            "outputs": [str(value) for value in receipt.outputs],
            "paid_wei": str(receipt.award.price),
        }

    async def tampered_proof(self, receipt: Receipt) -> None:
        """One bit of a real proof changed: the verifier node refuses it, the chain reverts it."""
        mallory = Account(os.urandom(32))
        await self.world.fund(self.world.devnet.rpc_url, mallory.address, 10**18)
        settlement = await self._forged(receipt, mallory)
        refusal = await self._offer_to_verifier(settlement)
        console.print(f"The verifier node answers: [bold]\\[{refusal}][/] (proof does not verify).")
        console.print("Mallory sends it to the Escrow herself ...")
        with Journal(WORK / "mallory.sqlite") as journal:
            async with open_chain(self.settings, mallory, journal) as chain:
                before = await chain.escrow_balance(mallory.address)
                reverted = await self._revert_on_chain(chain, mallory, journal, settlement)
                after = await chain.escrow_balance(mallory.address)
        console.print(f"... mined and [bold]reverted[/]: {reverted['reason']} (0x{reverted['hash'][2:18]}...)")
        self.record["tampered"] = {
            "verifier_refusal": refusal,
            "transaction_hash": reverted["hash"],
            "transaction_status": reverted["status"],
            "reason": reverted["reason"],
            "gained_wei": str(after - before),
        }

    async def silent_prover(self) -> None:
        """prover-1 locks, its process is killed; its lock is void at its promise; prover-2 does the job."""
        await self._lock_first("prover-1")
        before = await self._balances()
        events, receipt = await self._job_with_a_death(
            self._allow("prover-1", "prover-2"), "120s", "30s", "silent"
        )
        after = await self._balances()
        assert receipt is not None
        bounty, burned = 10**17 // 4, 10**17 - 10**17 // 4
        console.print(
            f"prover-1 lost its collateral of {ether(10**17)}: {ether(bounty)} to prover-2 as a bounty, "
            f"{ether(burned)} burned; the client paid the price of prover-2 and gained nothing."
        )
        self.record["silent"] = {
            "done_by": self.names[receipt.award.prover],
            "outputs": [str(value) for value in receipt.outputs],
            "promise_missed": any(event["event"] == "promise-missed" for event in events),
            "price_wei": str(receipt.award.price),
            "changes_wei": {name: str(after[name] - before[name]) for name in before},
            "expected_wei": {
                "client": str(-(receipt.award.price + receipt.order.verifier_fee)),
                "prover-1": str(-(10**17)),
                "prover-2": str(receipt.award.price - receipt.award.price * 500 // 10_000 + bounty),
                "verifier-1": str(receipt.order.verifier_fee),
                "publisher": str(receipt.award.price * 500 // 10_000),
                "prover-3": "0",
            },
        }

    async def silent_and_alone(self) -> None:
        """As before, and no other prover is allowed: the client gets its money back."""
        await self._lock_first("prover-1")
        before = await self._balances()
        events, receipt = await self._job_with_a_death(self._allow("prover-1"), "20s", "3s", "alone")
        after = await self._balances()
        refunded = any(event["event"] == "refunded" for event in events)
        console.print(f"Refunded: {refunded}. The client's deposit is what it was; the collateral is burned.")
        self.record["alone"] = {
            "refunded": refunded,
            "settled": receipt is not None,
            "client_change_wei": str(after["client"] - before["client"]),
            "prover_change_wei": str(after["prover-1"] - before["prover-1"]),
        }

    async def conserved(self) -> None:
        """The Escrow holds what it owes, to the wei."""
        async with open_chain(self.settings) as chain:
            held = await chain.native_balance(chain.network.escrow)
            owed = bindings.decode_number(await chain.client.call(chain.network.escrow, bindings.total()))
        self.record["escrow"] = {"held_wei": str(held), "owed_wei": str(owed)}

    # --- jobs ----------------------------------------------------------------------------

    async def _settled_job(self, inputs: str, allow: list[str], name: str = "receipt") -> Receipt:
        events = await self._submit(inputs, allow, "60s", "30s", name, self._tell)
        self.record.setdefault("stories", {})[name] = [event["event"] for event in events if "event" in event]
        return from_json((WORK / f"{name}.json").read_text())

    async def _job_with_a_death(
        self, allow: list[str], deadline: str, grace: str, name: str
    ) -> tuple[list[Fields], Receipt | None]:
        """Submit; kill prover-1's process as soon as its lock is on the chain."""
        events: list[Fields] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._kill_when_locked, "prover-1")
            events = await self._submit("accepted.json", allow, deadline, grace, name, self._tell)
            nursery.cancel_scope.cancel()
        file = WORK / f"{name}.json"
        return events, from_json(file.read_text()) if file.exists() else None

    async def _submit(
        self, inputs: str, allow: list[str], deadline: str, grace: str, name: str, tell: Callable[[Fields], None]
    ) -> list[Fields]:
        arguments = ["job", "submit", self.world.devnet.models[0]["model_id"], str(WORK / "credit" / inputs)]
        arguments += ["--max-price", MAX_PRICE, "--verifier-fee", FEE, "--collateral", COLLATERAL]
        arguments += ["--deadline", deadline, "--grace", grace, *allow, "--receipt", str(WORK / f"{name}.json")]
        return await self._cli(*arguments, tell=tell, may_fail=name == "alone")

    async def _kill_when_locked(self, name: str) -> None:
        account = bytes.fromhex(self.world.devnet.node(name).account[2:])
        async with open_chain(self.settings) as chain:
            before = await chain.escrow_balance(account)
            while await chain.escrow_balance(account) == before:
                await trio.sleep(0.02)
        await self.world.stop(name, hard=True)
        console.print(f"  [bold red]{name} is killed[/] (SIGKILL), its collateral is on the chain")

    async def _lock_first(self, name: str) -> None:
        """Start a prover (again) with settings under which it locks every job."""
        if name in self.world.processes:
            await self.world.stop(name)
        log = Path(self.world.devnet.node(name).log)
        offset = log.stat().st_size
        bundle = self.world.devnet.models[0]["bundle_id"]
        plan = PROVERS[0]
        environment = {"PROOFMESH_PROVER_WEI_PER_MS": str(plan.price), **plan.extra, **LOCK_FIRST}
        await self.world.spawn(name, ["prover", "run", "--bundle", bundle], environment)
        await self._wait_for(lambda: b"serving " in log.read_bytes()[offset:])
        console.print(f"{name} now locks every job before it proves, and promises within 15 s of the end of its bid.")

    def _tell(self, event: Fields) -> None:
        kind, account = event.get("event"), event.get("account")
        who = self.names.get(bytes.fromhex(account[2:]), account) if account else ""
        amount = ether(int(event.get("amount_wei", "0")))
        lines = {
            "announced": f"order 0x{str(event.get('order_hash'))[2:14]}... gossiped; bids are collected",
            "bid": f"{who} bids {amount}",
            "refusal": f"{who} does not bid: {event.get('text')}",
            "award": f"[bold]{who} wins[/] with {amount} (policy: {event.get('text')})",
            "award-accepted": f"{who} opened the sealed input and proves",
            "locked": f"{who} locked the job on the chain",
            "promise-missed": f"[red]{who} missed its promise[/]: its lock is void, the order is open again",
            "lock-released": f"[red]{who} gave its lock up[/]: the order is open again",
            "refunded": "[yellow]the client is refunded[/]",
        }
        if kind == "settled" and "price_wei" in event:
            console.print(f"  [green]settled on-chain[/], output {', '.join(event['outputs'])}")
        elif kind in lines:
            console.print(f"  {lines[kind]}")

    # --- the forged settlement -----------------------------------------------------------

    async def _forged(self, receipt: Receipt, mallory: Account) -> Settlement:
        """A fresh order, signed by the client, awarded to Mallory; the proof is real but for one bit."""
        password = Path(self.world.devnet.password_file).read_text()
        client = load_keystore(Path(self.client.data_dir) / "keystore.json", password)
        network = receipt.network
        async with open_chain(self.settings) as chain:
            header = await chain.client.header("latest")
        assert header is not None
        now = header.timestamp
        fields = {name: getattr(receipt.order, name) for name in type(receipt.order).model_fields}
        fields |= {"promise_by": now + 600, "final_by": now + 600, "salt": os.urandom(32)}
        order = type(receipt.order)(**fields)
        award = Award(
            order_hash=digest(network, order),
            bid_hash=os.urandom(32),
            prover=mallory.address,
            payout=mallory.address,
            price=receipt.award.price,
            promise_at=now + 600,
            lock_by=now + 600,
        )
        proof = bytearray(receipt.proof)
        proof[31] ^= 1
        verifier = bytes.fromhex(self.world.devnet.node("verifier-1").account[2:])
        return Settlement(order, award, client.sign(network, award), bytes(proof), receipt.outputs, verifier)

    async def _offer_to_verifier(self, settlement: Settlement) -> str:
        """Send the forged settlement to the verifier node; return the code of its refusal."""
        network = network_of(self.settings)
        tag = f"{network.chain_id}/{network.escrow.hex()}"
        transport = Transport(fresh(), ["/ip4/127.0.0.1/tcp/0"], network_tag=tag)
        endpoint = MarketEndpoint(network, transport)
        refused: list[str] = []

        async def take(peer: str, message: Refusal) -> None:
            refused.append(message.terms.code)

        endpoint.on(Refusal, take)
        message = ProofMessage(
            network=network,
            order=settlement.order,
            award=settlement.award,
            award_signature=settlement.signature,
            outputs=settlement.outputs,
            proof=settlement.proof,
            settler=settlement.settler,
        )
        async with transport.running():
            await endpoint.send(self.world.devnet.node("verifier-1").addresses[0], message)
            await self._wait_for(lambda: bool(refused))
        return refused[0] if refused else "none"

    async def _revert_on_chain(
        self, chain: ChainView, mallory: Account, journal: Journal, settlement: Settlement
    ) -> Fields:
        data = bindings.settle(settlement)
        reason = ""
        try:
            await chain.client.call(chain.network.escrow, data, sender=mallory.address)
        except RevertedError as error:
            reason = error.message
        store = TransactionStore(journal)
        sender = TransactionSender(chain.client, mallory, chain.network.chain_id, store, SendingPolicy(poll_s=0.05))
        status = 1
        try:
            # With gas of its own, so that the RPC does not refuse it before it is mined.
            await sender.send("forged", Call(chain.network.escrow, data, gas=900_000))
        except TransactionRevertedError:
            status = 0
        return {"hash": hexed(store.attempts("forged")[-1].hash), "status": status, "reason": reason}

    # --- looking -------------------------------------------------------------------------

    async def _balances(self) -> dict[str, int]:
        async with open_chain(self.settings) as chain:
            return {
                node.name: await chain.escrow_balance(bytes.fromhex(node.account[2:]))
                for node in self.world.devnet.nodes
            }

    async def _gas(self, receipt: Receipt) -> int:
        async with open_chain(self.settings) as chain:
            mined = await chain.client.receipt(receipt.transaction_hash)
            return mined.gas_used if mined else 0

    def _allow(self, *names: str) -> list[str]:
        return [word for name in names for word in ("--allow", self.world.devnet.node(name).account)]

    def _count_serving(self) -> int:
        logs = [Path(node.log) for node in self.world.devnet.nodes if node.role == "prover"]
        return sum(b"serving " in log.read_bytes() for log in logs)

    @staticmethod
    async def _wait_for(ready: Callable[[], bool], seconds: float = 30) -> bool:
        with trio.move_on_after(seconds):
            while not ready():
                await trio.sleep(0.05)
            return True
        return False

    async def _cli(
        self, *arguments: str, tell: Callable[[Fields], None] | None = None, may_fail: bool = False
    ) -> list[Fields]:
        """Run a command of the client as a process; return its lines of JSON, told as they come."""
        environment = {
            **os.environ,
            "PROOFMESH_DATA_DIR": self.client.data_dir,
            "PROOFMESH_PASSWORD_FILE": self.world.devnet.password_file,
        }
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "proofmesh.main", "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        events: list[Fields] = []
        assert process.stdout is not None
        pending = b""
        try:
            async for chunk in process.stdout:
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    events.append(json.loads(line))
                    if tell is not None:
                        tell(events[-1])
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
        if code != 0 and not may_fail:
            raise SystemExit(f"proofmesh {' '.join(arguments[:2])} failed ({code}): {events[-1] if events else ''}")
        return events


def _title(text: str) -> None:
    console.print(f"\n[bold cyan]{text}[/]")


def _ending(record: Fields) -> None:
    console.print(f"\n[bold]Done in {record['wall_seconds']} s.[/] Everything is in build/demo.json.")
    console.print("Try next:")
    console.print("  .venv/bin/proofmesh devnet up --bundle " + record["model"]["bundle"])
    console.print("  .venv/bin/proofmesh sim run --nodes 30 --jobs 500 --seed 7")
    console.print("  your own model: see README.md, 'Your own model'")


if __name__ == "__main__":
    sys.exit(main())
