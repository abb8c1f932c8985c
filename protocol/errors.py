# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error tree: every error that a user or a peer can meet has a stable code and a remedy.

A message never contains key material, a private input or the bytes of a refused message.
`exit_code` is what the CLI returns: 1 failed, 2 usage, 3 configuration, 4 chain or RPC,
5 proof invalid, 6 timeout, 7 funds.
"""

from __future__ import annotations

from typing import ClassVar


class ProofmeshError(Exception):
    """Base of all errors of the project; `str()` gives `[PM-AREA-NNN] what happened. remedy`."""

    code: ClassVar[str] = "PM-GEN-001"
    exit_code: ClassVar[int] = 1
    remedy: ClassVar[str] = "Run the command again with --verbose and read the log."

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.advice = remedy if remedy is not None else self.remedy

    def __str__(self) -> str:
        return f"[{self.code}] {self.message} {self.advice}".rstrip()


class UsageError(ProofmeshError):
    """The command was called with arguments that make no sense together."""

    code = "PM-USE-001"
    exit_code = 2
    remedy = "See --help."


class ConfigError(ProofmeshError):
    """The configuration or the data folder is missing, unreadable or contradictory."""

    code = "PM-CFG-001"
    exit_code = 3
    remedy = "Run `proofmesh doctor`."


# --- wire: what a peer sends -------------------------------------------------------------


class WireError(ProofmeshError):
    """A message from a peer is not acceptable."""

    code = "PM-WIRE-001"
    remedy = "The peer runs another version or is hostile; nothing to do here."


class NotCanonicalError(WireError):
    """The bytes are not the canonical encoding of a known message."""

    code = "PM-WIRE-002"


class FrameTooLargeError(WireError):
    """A frame announces more bytes than its kind may have."""

    code = "PM-WIRE-003"


class UnknownMessageError(WireError):
    """The kind or the version of a message is unknown."""

    code = "PM-WIRE-004"


class WrongNetworkError(WireError):
    """The message belongs to another chain or another Escrow."""

    code = "PM-WIRE-005"
    remedy = "Check chain_id and escrow in the configuration of both sides."


class TruncatedFrameError(WireError):
    """The stream ended inside a frame."""

    code = "PM-WIRE-006"


# --- signatures and sealing --------------------------------------------------------------


class SignatureError(ProofmeshError):
    """A signature does not come from the account that it names."""

    code = "PM-SIG-001"
    remedy = "Ask the sender to sign again with the account named in the message."


class SealError(ProofmeshError):
    """A sealed message cannot be opened with this key for this award."""

    code = "PM-SEAL-001"
    remedy = "Ask the client to seal the input again to the key in the bid."


# --- network: libp2p, peers, bundle transfer ---------------------------------------------


class NetworkError(ProofmeshError):
    """Something between this node and its peers failed."""

    code = "PM-NET-001"
    remedy = "Run `proofmesh doctor` and look at the peers."


class PeerUnreachableError(NetworkError):
    """No connection to the peer can be made, or it was lost."""

    code = "PM-NET-002"
    remedy = "Check the peer's address and that it is running; the node goes on trying."


class PeerTimeoutError(NetworkError):
    """The peer did not answer in time."""

    code = "PM-NET-003"
    exit_code = 6
    remedy = "The peer is overloaded or stopped; try again or ask another one."


class PeerRefusedError(NetworkError):
    """The peer reset the stream or does not speak the protocol."""

    code = "PM-NET-004"
    remedy = "The peer runs another version or network, is overloaded, or failed; ask another one."


class ResponseTooLargeError(NetworkError):
    """The peer's answer announces more bytes than the caller takes."""

    code = "PM-NET-005"
    remedy = "The peer is faulty or hostile; ask another one."


class GossipTooLargeError(NetworkError):
    """A gossip message is longer than the network carries."""

    code = "PM-NET-006"
    remedy = "Send what is long over a stream and gossip only its hash."


class ListenError(NetworkError):
    """The node cannot listen on the configured address."""

    code = "PM-NET-007"
    exit_code = 3
    remedy = "Choose another address or port in the configuration (port 0 takes any free one)."


class AddressError(NetworkError):
    """A peer's address is not a usable multiaddr."""

    code = "PM-NET-008"
    exit_code = 2
    remedy = "Write it as /ip4/<address>/tcp/<port>/p2p/<peer id>."


class TransportDownError(NetworkError):
    """The network service is not running."""

    code = "PM-NET-009"
    remedy = "Wait for the node to restart its network service, or restart the node."


class PeerBannedError(NetworkError):
    """The peer misbehaved and is banned for a while."""

    code = "PM-NET-010"
    remedy = "The ban ends by itself; the log says why it was given."


class IdentityError(NetworkError):
    """The network key file is damaged or readable by others."""

    code = "PM-NET-011"
    exit_code = 3
    remedy = "Restore the file, or delete it and let the node make a new network identity."


class Misbehaviour(NetworkError):
    """A handler found that the peer broke the rules; its score falls by `weight`."""

    code = "PM-NET-012"
    remedy = "The peer runs another version or is hostile; nothing to do here."

    def __init__(self, message: str, *, weight: float = 25.0, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.weight = weight


class BundleUnavailableError(NetworkError):
    """No source has the bundle, or none could finish sending it."""

    code = "PM-NET-020"
    remedy = "Name a peer that serves the bundle; what was verified so far is kept and resumed."


class BundleRefusedError(NetworkError):
    """The bundle's manifest is not acceptable: too large, or with unsafe file names."""

    code = "PM-NET-021"
    remedy = "Raise the limit if you trust the publisher; otherwise do not pull this bundle."
