# SPDX-License-Identifier: GPL-3.0-or-later
"""What a contract's refusal means: revert data to a readable name, and to an error with code and remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.abi import CONTRACTS, artifact, decode_values
from protocol.errors import (
    AuthorityRefusal,
    ContractRefusal,
    DeadlineRefusal,
    FundsRefusal,
    ProofRefusal,
    RegistrationRefusal,
    StateRefusal,
    TermsRefusal,
)

_REASON = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")

_GROUPS: Mapping[type[ContractRefusal], tuple[str, ...]] = {
    FundsRefusal: ("InsufficientBalance",),
    DeadlineRefusal: (
        "WithdrawalNotReady",
        "PromiseTooLate",
        "LockStillHolds",
        "LockTooLate",
        "PromiseMissed",
        "FinalMissed",
        "NotYetExpired",
        "RampNotStarted",
        "PriceNotReached",
    ),
    StateRefusal: (
        "NoWithdrawalRequested",
        "AlreadySettled",
        "AlreadyExpired",
        "AlreadyLocked",
        "AlreadyCancelled",
        "NotLocked",
        "LockedByAnotherAward",
        "TransferFailed",
        "NothingLive",
        "NotSettled",
        "AlreadyDelivered",
        "CallbackRefused",
        "CallbackGasMissing",
        "VerifierGasMissing",
        "AnotherStatement",
        "NoConsumer",
        "AlreadyUsed",
        "PoolEmpty",
        "NotProved",
        "SafeERC20FailedOperation",
        "ReentrancyGuardReentrantCall",
    ),
    TermsRefusal: (
        "ZeroAddress",
        "AmountTooLarge",
        "TimeTooLarge",
        "UnsupportedKind",
        "RampMalformed",
        "ProverNotPayout",
        "NotOpenOrder",
        "InputNotPublic",
        "AnotherProgram",
        "StatementTooShort",
        "ResultRefused",
        "DevProgramRefused",
        "AnotherProofSystem",
        "ModelOfAnotherProgram",
        "RoyaltyMismatch",
        "AwardForAnotherOrder",
        "OrderMalformed",
        "BatchMalformed",
        "BatchTooLarge",
        "AddressesTooLong",
        "PriceAboveCap",
    ),
    AuthorityRefusal: (
        "BadSignature",
        "NotClient",
        "NotProver",
        "NotEscrow",
        "NotPublisher",
        "NotBoundTo",
        "NotAttested",
        "AttestationExpired",
    ),
    ProofRefusal: (
        "WrongInputCount",
        "InputNotInField",
        "ProofNotInField",
        "ProofInvalid",
        "ExternalProofInvalid",
        "VerifierChanged",
        "KeyChanged",
    ),
    RegistrationRefusal: (
        "UnknownProgram",
        "VerifierRefused",
        "UnknownModel",
        "UnsupportedProofSystem",
        "RoyaltyTooHigh",
        "WrongKeyLength",
        "KeyNotInField",
        "KeyPointAtInfinity",
        "KeyPointNotOnCurve",
        "KeyPointRepeated",
        "KeyGroup2Invalid",
        "CodeStorageFailed",
    ),
}
_ERROR_OF = {name: error for error, names in _GROUPS.items() for name in names}


@dataclass(frozen=True)
class Revert:
    """A contract's error by name, with its arguments (addresses are 20 bytes)."""

    name: str
    arguments: tuple[tuple[str, object], ...]

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in self.arguments)
        return f"{self.name}({shown})"


def decode_revert(data: bytes) -> Revert | None:
    """Return the error that the data names, or None if it is not one that we know."""
    selector, body = bytes(data[:4]), bytes(data[4:])
    try:
        if selector == _REASON:
            return Revert("Error", (("reason", decode_values(("string",), body)[0]),))
        if selector == _PANIC:
            return Revert("Panic", (("code", decode_values(("uint256",), body)[0]),))
        for contract in CONTRACTS:
            entry = artifact(contract).errors.get(selector)
            if entry is not None:
                values = decode_values(entry.inputs, body)
                return Revert(entry.name, tuple(zip(entry.input_names, values, strict=True)))
    except ValueError:
        return None
    return None


def contract_error(data: bytes) -> ContractRefusal:
    """Return the error to raise for revert data; its class and code say what kind of refusal it is."""
    revert = decode_revert(data)
    if revert is None:
        return ContractRefusal("A contract reverted without a reason that is known here.", data=data)
    kind = _ERROR_OF.get(revert.name, ContractRefusal)
    return kind(f"The contract refused: {revert}.", data=data)


def error_class(name: str) -> type[ContractRefusal]:
    """Return the class for an error of the contracts by its Solidity name."""
    return _ERROR_OF[name]


def _shown(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
