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
