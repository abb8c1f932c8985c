# SPDX-License-Identifier: GPL-3.0-or-later
"""What a flood does to a node's honest traffic: `python -m benchmarks.flood [--seconds N] [--attackers N]`.

The node is a process of its own: transport, endpoint and validation of orders as in a prover's daemon, a funded
ledger, and a signed bid for every order it takes; no chain and no proofs, so that what is measured is the network's
part. An honest client gossips an order, waits for the bid, and gossips the next. That is done in quiet, then while
attackers in processes of their own flood the node from other subnets with new connections, requests, forged
notices and gossip, each coming back under a new key when it is banned. They run at a lower priority, for they would
else take the processor, not the network, from the node beside them. Writes build/flood.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import trio

from contracts.events import Deposited
from node.endpoint import MARKET_PROTOCOL, MarketEndpoint
from node.ledger import Ledger
from node.net import Limits, Transport, Verdict
from node.net.identity import fresh
from node.order_gossip import OrderGossip
from protocol import codec
from protocol.eip712 import addresses_hash, digest
from protocol.errors import ProofmeshError
from protocol.messages import BidMessage, OrderAnnouncement, SettlementNotice
from protocol.signing import Account
from protocol.structs import Announcement, Bid, Network, Notice, Order

ROOT = Path(__file__).resolve().parents[1]
NETWORK = Network(chain_id=31_337, escrow=b"\xee" * 20)
TAG = "flood"
TOPIC = "orders"
HONEST_SUBNET = "127.0.0.0/24"
CLIENT, PROVER, MALLORY = (Account(bytes([number]) * 32) for number in (1, 2, 3))
WAIT_SECONDS = 20.0
ATTACKER_NICENESS = 10
TICKS = os.sysconf("SC_CLK_TCK")


# --- the node -----------------------------------------------------------------------------


async def node(address_file: Path) -> None:
    """Take orders and bid on them, until killed."""
    ledger = Ledger()
    ledger.apply(b"\x01" * 32, [Deposited(CLIENT.address, CLIENT.address, 10**18)])
    gossip = OrderGossip(NETWORK, ledger, time.time_ns)
    limits = Limits(exempt_networks=(HONEST_SUBNET,))
    transport = Transport(
        fresh(), ["/ip4/127.0.0.1/tcp/0"], network_tag=TAG, limits=limits, address_file=address_file
    )
    endpoint = MarketEndpoint(NETWORK, transport)

    async def noticed(peer: str, message: SettlementNotice) -> None:
        return

    endpoint.on(SettlementNotice, noticed)

    async def bid(data: bytes, forwarder: str) -> None:
        message = codec.decode(data)
        assert isinstance(message, OrderAnnouncement)
        nursery.start_soon(_send_bid, endpoint, message)

    async with trio.open_nursery() as nursery:
        await transport.subscribe(TOPIC, gossip.validate, bid)
        await transport.run()


async def _send_bid(endpoint: MarketEndpoint, message: OrderAnnouncement) -> None:
    order = message.order
    offer = Bid(
        order_hash=digest(NETWORK, order),
        prover=PROVER.address,
        payout=PROVER.address,
        price=1,
        promise_at=order.promise_by,
        expires_at=order.promise_by,
        locks=False,
        sealing_key=secrets.token_bytes(32),
    )
    signed = BidMessage(network=NETWORK, bid=offer, addresses=(), signature=PROVER.sign(NETWORK, offer))
    with suppress(ProofmeshError):
        await endpoint.send(message.addresses[0], signed)


# --- the attackers ------------------------------------------------------------------------


DONE: Counter[str] = Counter()
"""What this attacker did so far."""


async def attack(address: str, source: str, report: Path) -> None:
    """Flood the node from one address of this machine, under one key after the other."""
    patched: Any = trio
    patched.open_tcp_stream = partial(trio.open_tcp_stream, local_address=source)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_connections, address)
        nursery.start_soon(_requests, address)
        nursery.start_soon(_gossip, address)
        while True:
            await trio.sleep(0.2)
            temporary = report.with_suffix(".new")
            temporary.write_text(json.dumps(DONE))
            temporary.replace(report)


async def _connections(address: str) -> None:
    port = int(address.split("/")[4])
    while True:
        with suppress(OSError):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(os.urandom(64))
            await stream.aclose()
            DONE["connections"] += 1
        await trio.sleep(0.01)


async def _requests(address: str) -> None:
    while True:
        async with Transport(fresh(), [], network_tag=TAG).running() as transport:
            failures = 0
            while failures < 3:
                DONE["requests"] += 1
                payload = os.urandom(300) if random.random() < 0.5 else codec.encode(_notice())
                try:
                    await transport.request(address, MARKET_PROTOCOL, payload, 32_768, timeout=5)
                    failures = 0
                except ProofmeshError:
                    failures += 1
        await trio.sleep(0.2)


def _notice() -> SettlementNotice:
    terms = Notice(
        order_hash=secrets.token_bytes(32),
        award_hash=bytes(32),
        transaction_hash=bytes(32),
        settler=MALLORY.address,
        issued_at=int(time.time()),
    )
    return SettlementNotice(network=NETWORK, notice=terms, signature=bytes(65))


async def _gossip(address: str) -> None:
    while True:
        async with Transport(fresh(), [], network_tag=TAG).running() as transport:
            await transport.subscribe(TOPIC, lambda data, peer: Verdict.IGNORE, _nothing)
            with suppress(ProofmeshError):
                await transport.connect(address)
            began = trio.current_time()
            while transport.connected() and trio.current_time() < began + 10:
                with suppress(ProofmeshError):
                    DONE["gossip"] += 1
                    await transport.publish(TOPIC, os.urandom(1_000))
                await trio.sleep(0.002)
        await trio.sleep(0.2)


async def _nothing(data: bytes, peer: str) -> None:
    return


# --- honest traffic -----------------------------------------------------------------------


def _order(addresses: tuple[str, ...]) -> OrderAnnouncement:
    now = int(time.time())
    order = Order(
        client=CLIENT.address,
        program_id=bytes(32),
        input_commitment=1,
        price_cap=10,
        promise_by=now + 300,
        final_by=now + 600,
        salt=secrets.token_bytes(32),
    )
    terms = Announcement(
        order_hash=digest(NETWORK, order),
        addresses_hash=addresses_hash(addresses),
        issued_at=now,
        expires_at=now + 60,
    )
    return OrderAnnouncement(
        network=NETWORK,
        order=order,
        addresses=addresses,
        issued_at=now,
        expires_at=now + 60,
        signature=CLIENT.sign(NETWORK, terms),
    )


class Usage:
    """CPU seconds and memory of a process, from /proc."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)
        self.began, self.cpu = time.monotonic(), self._cpu()

    def figures(self) -> dict[str, float]:
        """CPU seconds a second since the start, and memory now."""
        spent = self._cpu() - self.cpu
        status = (self._folder / "status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
        return {
            "cpu_seconds_per_second": round(spent / (time.monotonic() - self.began), 3),
            "memory_mib": round(resident, 1),
        }

    def _cpu(self) -> float:
        fields = (self._folder / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


async def honest(address: str, pid: int, seconds: float) -> dict[str, Any]:
    """Order after order for some seconds; how long each bid took, how many came, what the node used."""
    bids: dict[bytes, trio.Event] = {}
    async with Transport(fresh(), ["/ip4/127.0.0.1/tcp/0"], [address], TAG).running() as transport:
        endpoint = MarketEndpoint(NETWORK, transport)

        async def taken(peer: str, message: BidMessage) -> None:
            if message.bid.order_hash in bids:
                bids[message.bid.order_hash].set()

        endpoint.on(BidMessage, taken)
        await transport.subscribe(TOPIC, lambda data, peer: Verdict.ACCEPT, _nothing)
        await _ready(transport, bids)
        usage, ended, waits, lost = Usage(pid), time.monotonic() + seconds, list[float](), 0
        while time.monotonic() < ended:
            message = _order(transport.addresses)
            bids[digest(NETWORK, message.order)] = arrived = trio.Event()
            began = time.monotonic()
            if await _bid_on(transport, message, arrived):
                waits.append((time.monotonic() - began) * 1000)
            else:
                lost += 1
            await trio.sleep(0.5)  # what one account may gossip a minute is bounded
        return {
            "orders": len(waits) + lost,
            "without_bid": lost,
            "order_to_bid_ms_p50": round(statistics.median(waits), 1) if waits else None,
            "order_to_bid_ms_max": round(max(waits), 1) if waits else None,
            **usage.figures(),
        }


async def _ready(transport: Transport, bids: dict[bytes, trio.Event]) -> None:
    message = _order(transport.addresses)
    bids[digest(NETWORK, message.order)] = arrived = trio.Event()
    with trio.fail_after(6 * WAIT_SECONDS):
        while not await _bid_on(transport, message, arrived):
            continue


async def _bid_on(transport: Transport, message: OrderAnnouncement, arrived: trio.Event) -> bool:
    """Gossip an order, again every two seconds as a client does, until its bid comes."""
    data = codec.encode(message)
    with trio.move_on_after(WAIT_SECONDS):
        while not arrived.is_set():
            await transport.publish(TOPIC, data)
            with trio.move_on_after(2):
                await arrived.wait()
    return arrived.is_set()


@contextmanager
def process(*arguments: str) -> Iterator[int]:
    """A part of this benchmark in a process of its own."""
    child = subprocess.Popen([sys.executable, "-m", "benchmarks.flood", *arguments], cwd=ROOT)
    try:
        yield child.pid
    finally:
        child.kill()
        child.wait()


async def measure(seconds: float, attackers: int) -> dict[str, Any]:
    """Quiet, flood, and quiet again, against one node."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "address"
        with process("--node", str(file)) as pid:
            while not file.exists():
                await trio.sleep(0.1)
            address = file.read_text().split()[0]
            quiet = await honest(address, pid, seconds)
            reports = [Path(folder) / f"attacker-{number}" for number in range(attackers)]
            with _flooded(address, reports):
                while not all(_done(report)["requests"] and _done(report)["gossip"] for report in reports):
                    await trio.sleep(0.1)
                before = sum((_done(report) for report in reports), Counter[str]())
                flood = await honest(address, pid, seconds)
                attacks = sum((_done(report) for report in reports), Counter[str]()) - before
            afterwards = await honest(address, pid, seconds)
    return {
        "seconds_of_each_phase": seconds,
        "attackers": attackers,
        "attacks": dict(attacks),
        "quiet": quiet,
        "flood": flood,
        "afterwards": afterwards,
        "flood_to_quiet": {
            name: round(flood[name] / quiet[name], 2)
            for name in ("cpu_seconds_per_second", "memory_mib", "order_to_bid_ms_p50", "orders")
            if flood[name] and quiet[name]
        },
        "load_average": os.getloadavg()[0],
        "cpus": os.cpu_count(),
    }


@contextmanager
def _flooded(address: str, reports: Sequence[Path]) -> Iterator[None]:
    with ExitStack() as stack:
        for number, report in enumerate(reports):
            source = f"127.0.{100 + number}.1"
            stack.enter_context(process("--attack", address, "--source", source, "--report", str(report)))
        yield


def _done(report: Path) -> Counter[str]:
    """What an attacker says it did so far."""
    return Counter(json.loads(report.read_text()) if report.exists() else {})


def main() -> None:
    """Measure, print, and write build/flood.json; or be one of the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--attackers", type=int, default=4, help="processes, each in a subnet of its own")
    parser.add_argument("--node", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--attack", help=argparse.SUPPRESS)
    parser.add_argument("--source", default="127.0.1.1", help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if options.attack is not None:
        os.nice(ATTACKER_NICENESS)
    if options.node is not None:
        trio.run(node, options.node)
    elif options.attack is not None:
        trio.run(attack, options.attack, options.source, options.report)
    else:
        figures = trio.run(measure, options.seconds, options.attackers)
        build = ROOT / "build"
        build.mkdir(exist_ok=True)
        (build / "flood.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
