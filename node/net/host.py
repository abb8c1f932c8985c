# SPDX-License-Identifier: GPL-3.0-or-later
"""One libp2p host as this network wants it: TCP, Noise only, Yamux, gossipsub 1.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import multiaddr  # type: ignore[import-untyped]
from libp2p import new_host
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key
from libp2p.custom_types import TMuxerOptions
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import ConnectionConfig
from libp2p.network.swarm import Swarm
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX

from node.net.circuits import circuit_in
from node.net.door import Door
from node.net.gossip import GossipGate
from node.net.hardening import NoAutoConnector, SafePubsub, SafeYamux, StreamGate, guard, install
from node.net.identity import NetworkIdentity
from node.net.limits import Limits
from protocol.errors import AddressError

GOSSIP_RPC_CAP_BYTES = 256 * 1024


@dataclass(frozen=True)
class Host:
    """A host that was built and not yet run."""

    libp2p: BasicHost
    router: GossipSub

    @property
    def swarm(self) -> Swarm:
        return cast(Swarm, self.libp2p.get_network())


def build(identity: NetworkIdentity, limits: Limits, gate: StreamGate, door: Door | None = None) -> Host:
    """Build a guarded host.

    The library's default security list also offers plaintext, with which a peer that shows only a
    victim's public key is taken for the victim: Noise alone is passed. Only /meshsub/1.1.0 is spoken
    (1.2 doubles the CPU per message); heartbeat 1 s (default 120); the adaptive, spam and eclipse
    defaults drop messages in silence and are replaced by the gate.
    """
    install()
    keys = identity.key_pair
    host = new_host(
        key_pair=keys,
        sec_opt={NOISE: NoiseTransport(keys, noise_privkey=create_noise_key().private_key)},
        muxer_opt=cast(TMuxerOptions, {YAMUX: SafeYamux}),
        connection_config=ConnectionConfig(
            min_connections=0,
            low_watermark=0,
            high_watermark=limits.max_connections,
            max_connections=limits.max_connections,
            max_connections_per_peer=limits.connections_per_peer,
            inbound_upgrade_timeout=limits.handshake_timeout,
        ),
    )
    router = GossipSub(
        protocols=[PROTOCOL_ID_V11],
        degree=6,
        degree_low=4,
        degree_high=12,
        heartbeat_interval=1,
        spam_protection_enabled=False,
        eclipse_protection_enabled=False,
        adaptive_gossip_enabled=False,
    )
    basic = cast(BasicHost, host)
    swarm = cast(Swarm, basic.get_network())
    swarm.auto_connector = NoAutoConnector(swarm)
    if door is not None:
        door.install(swarm)
    swarm.set_stream_handler(guard(basic._swarm_stream_handler, gate))
    return Host(basic, router)


def pubsub_of(host: Host, gate: GossipGate) -> SafePubsub:
    """Make the host's pubsub; its service must be started before anybody can connect."""
    pubsub = SafePubsub(
        host.libp2p, host.router, strict_signing=True, max_inbound_rpc_size=GOSSIP_RPC_CAP_BYTES
    )
    pubsub.gate = gate
    return pubsub


def parse_address(address: str) -> PeerInfo:
    """Return peer id and transport address (none for a bare /p2p/<id>) of a multiaddr that ends in /p2p/.

    Raises:
        AddressError: it is something else, or the address of a circuit in another form than circuits.py takes.
    """
    circuit_in(address)
    try:
        info = info_from_p2p_addr(multiaddr.Multiaddr(address))
    except Exception as error:
        raise AddressError(f"{address[:200]!r} is not a peer's address ({type(error).__name__}).") from None
    return PeerInfo(info.peer_id, [known for known in info.addrs if str(known)])
