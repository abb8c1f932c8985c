# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer that speaks the market's protocol as it likes: a client, prover or nobody, honest or not."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from devnet_market import FEE, MAX_PRICE, bundle_folder, chain_of, names, until

from node.devnet.world import World
from node.endpoint import MARKET_PROTOCOL, MarketEndpoint, RefusedError
from node.keystore import load_keystore
from node.net import Transport, Verdict
from node.net.identity import fresh
from protocol import codec
from protocol.eip712 import addresses_hash, digest
from protocol.messages import BidMessage, Hello, Message, OrderAnnouncement, Refusal
from protocol.sealing import public_key
from protocol.signing import Account
from protocol.structs import Announcement, Award, Bid, Introduction, Network, Order
from proving.bundle import load


class Stranger:
    """A connected peer. `bids`, `refusals` and `gossip` are what others sent it."""

    def __init__(self, world: World, network: Network, transport: Transport, now: int) -> None:
        self.world, self.network, self.transport, self._now = world, network, transport, now
        self.endpoint = MarketEndpoint(network, transport)
        self.bids: list[BidMessage] = []
        self.refusals: list[Refusal] = []
        self.endpoint.on(BidMessage, self._bid)
        self.endpoint.on(Refusal, self._refusal)
        self.gossip: list[bytes] = []
        self.topic = f"proofmesh/1/orders/{network.chain_id}/{network.escrow.hex()}"

    async def _bid(self, peer: str, message: BidMessage) -> None:
        self.bids.append(message)

    async def _refusal(self, peer: str, message: Refusal) -> None:
        self.refusals.append(message)

    async def heard(self, data: bytes, forwarder: str) -> None:
        """Keep a gossip message."""
        self.gossip.append(data)

    def address(self, name: str) -> str:
        """Where a node of the devnet listens."""
        return self.world.devnet.node(name).addresses[0]

    def customer(self) -> Account:
        """The account of the devnet's client: the stranger may be that client, and hostile."""
        node = self.world.devnet.node("client")
        return load_keystore(Path(node.data_dir) / "keystore.json", Path(self.world.devnet.password_file).read_text())

    def introduction(self, account: Account) -> Hello:
        """A hello in which this peer names an account."""
        terms = Introduction(
            peer=self.transport.peer_id,
            roles="prover",
            least_fee=0,
            addresses_hash=addresses_hash(()),
            issued_at=self._now,
            expires_at=self._now + 300,
        )
        return Hello(
            network=self.network,
            roles=("prover",),
            account=account.address,
            least_fee=0,
            addresses=(),
            peers=(),
            issued_at=terms.issued_at,
            expires_at=terms.expires_at,
            signature=account.sign(self.network, terms),
        )

    def bid(self, order: Order, signer: Account, promise_at: int, *, prover: bytes | None = None) -> BidMessage:
        """A bid that no honest prover beats; in another prover's name if one is given. Nobody holds its sealing key."""
        bid = Bid(
            order_hash=digest(self.network, order),
            prover=prover or signer.address,
            payout=signer.address,
            price=1,
            promise_at=promise_at,
            expires_at=promise_at,
            locks=False,
            sealing_key=public_key(secrets.token_bytes(32)),
        )
        return BidMessage(
            network=self.network,
            bid=bid,
            addresses=self.transport.addresses,
            signature=signer.sign(self.network, bid),
        )

    async def raw(self, name: str, data: bytes) -> Message:
        """Send bytes to a node's market protocol; return its answer."""
        cap = 32 * 1024
        address = self.address(name)
        return codec.decode(await self.transport.request(address, MARKET_PROTOCOL, data, cap, 10.0))

    async def refused(self, name: str, message: Message) -> str:
        """Send a message and return the code with which it is refused."""
        try:
            await self.endpoint.send(self.address(name), message)
        except RefusedError as error:
            return error.refusal_code
        return "taken"

    def order(self, client: bytes, **changes: object) -> Order:
        """An order that a prover would serve, if its client has the money."""
        manifest = load(bundle_folder(self.world)).manifest
        model = self.world.devnet.models[0]
        fields: dict[str, object] = {
            "client": client,
            "program_id": bytes.fromhex(manifest.program_id),
            "model_id": bytes.fromhex(model["model_id"][2:]),
            "royalty_bps": self.world.plan.royalty_bps,
            "input_commitment": 1,
            "price_cap": MAX_PRICE,
            "verifier_fee": FEE,
            "promise_by": self._now + 300,
            "final_by": self._now + 330,
            "salt": secrets.token_bytes(32),
        }
        return Order(**(fields | changes))  # type: ignore[arg-type]

    def announcement(self, order: Order, signer: Account, *, age: int = 0, life: int = 300) -> OrderAnnouncement:
        """An order as it is gossiped, issued `age` seconds ago for `life` seconds."""
        addresses = self.transport.addresses[:1]
        issued = self._now - age
        terms = Announcement(
            order_hash=digest(self.network, order),
            addresses_hash=addresses_hash(addresses),
            issued_at=issued,
            expires_at=issued + life,
        )
        return OrderAnnouncement(
            network=self.network,
            order=order,
            addresses=addresses,
            issued_at=issued,
            expires_at=issued + life,
            signature=signer.sign(self.network, terms),
        )

    async def publish(self, message: OrderAnnouncement) -> None:
        """Gossip an order."""
        await self.transport.publish(self.topic, codec.encode(message))

    async def bid_on(self, order: Order) -> BidMessage:
        """Wait for a bid of the cheapest prover on an order."""
        order_hash, prover = digest(self.network, order), self.world.devnet.node("prover-1").account

        def found() -> list[BidMessage]:
            return [m for m in self.bids if m.bid.order_hash == order_hash and "0x" + m.bid.prover.hex() == prover]

        await until(found)
        return found()[0]

    def award(self, bid: Bid, **changes: object) -> Award:
        """The award of a bid, or something like it."""
        fields: dict[str, object] = {
            "order_hash": bid.order_hash,
            "bid_hash": digest(self.network, bid),
            "prover": bid.prover,
            "payout": bid.payout,
            "price": bid.price,
            "promise_at": bid.promise_at,
            "lock_by": bid.promise_at,
        }
        return Award(**(fields | changes))  # type: ignore[arg-type]


def accept(data: bytes, forwarder: str) -> Verdict:
    """Take every gossip message."""
    return Verdict.ACCEPT


@asynccontextmanager
async def stranger(world: World) -> AsyncIterator[Stranger]:
    """A stranger that is connected to every node."""
    async with chain_of(world) as chain:
        network = chain.network
        header = await chain.client.header("latest")
    assert header is not None
    bootstrap = [world.devnet.node(name).addresses[0] for name in [*names(world, "prover"), *names(world, "verifier")]]
    tag = f"{network.chain_id}/{network.escrow.hex()}"
    transport = Transport(fresh(), ["/ip4/127.0.0.1/tcp/0"], bootstrap, network_tag=tag)
    made = Stranger(world, network, transport, header.timestamp)
    async with transport.running():
        await transport.subscribe(made.topic, accept, made.heard)
        await until(lambda: sum(peer.connected for peer in transport.peers()) >= len(bootstrap))
        yield made
