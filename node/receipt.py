# SPDX-License-Identifier: GPL-3.0-or-later
"""The receipt: what the client keeps, checkable by anyone, offline.

It holds the order, the award with the client's signature, the proof with its outputs and settler, the
verifying key and layout of the program, and the transaction. Everything in it is on the chain or
derived from what is there, so a lost receipt is rebuilt from the settling transaction. It opens nothing:
the private input stays behind its commitment.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError

from protocol import bounded_json
from protocol.binding import market_binding
from protocol.eip712 import digest
from protocol.errors import ProofmeshError
from protocol.scalars import Proof, Record
from protocol.signing import require_signed_by
from protocol.statement import program_id
from protocol.structs import Award, Network, Order
from proving.prover import verify

MAX_RECEIPT_BYTES = 1 << 20


class ReceiptError(ProofmeshError):
    """A receipt file that cannot be read, or does not hold what it claims."""

    code = "PM-RCPT-001"
    exit_code = 5
    remedy = "Ask for the receipt again; the settling transaction on the chain holds the same."


def _word(value: Any) -> Any:
    if isinstance(value, bytes) and len(value) == 32:
        return int.from_bytes(value, "big")
    return value


Word = Annotated[
    int,
    BeforeValidator(_word),
    PlainSerializer(lambda value: value.to_bytes(32, "big"), return_type=bytes),
    Field(ge=0, lt=2**256),
]


class Program(Record):
    """What identifies the program on-chain (docs/adr/0001)."""

    proof_system: Literal[1] = 1
    verifying_key: Annotated[tuple[Word, ...], Field(min_length=20, max_length=2_048)]
    layout: Annotated[bytes, Field(min_length=32, max_length=32)]
    setup_id: Annotated[bytes, Field(min_length=32, max_length=32)]
    dev: bool

    def id(self) -> bytes:
        """Return the program id that these fields hash to."""
        return program_id(self.proof_system, self.verifying_key, self.layout, self.setup_id, self.dev)


class Receipt(Record):
    """A settled job."""

    version: Literal[1] = 1
    network: Network
    order: Order
    award: Award
    award_signature: Annotated[bytes, Field(min_length=65, max_length=65)]
    outputs: Annotated[tuple[Word, ...], Field(max_length=64)]
    proof: Proof
    settler: Annotated[bytes, Field(min_length=20, max_length=20)]
    program: Program
    transaction_hash: Annotated[bytes, Field(min_length=32, max_length=32)]
    block_number: Annotated[int, Field(ge=0, lt=2**63)]

    @property
    def order_hash(self) -> bytes:
        """The digest of the order."""
        return digest(self.network, self.order)

    def public_inputs(self) -> tuple[int, ...]:
        """Return the statement: commitment, outputs, binding."""
        binding = market_binding(self.order_hash, self.award.payout, self.settler)
        return (self.order.input_commitment, *self.outputs, binding)


class Check(Record):
    """One thing that was looked at."""

    name: str
    passed: bool
    detail: str


def check_offline(receipt: Receipt) -> tuple[Check, ...]:
    """Return every check that needs nothing but the receipt."""
    order_hash = receipt.order_hash
    try:
        require_signed_by(receipt.order.client, receipt.network, receipt.award, receipt.award_signature)
        signed = True
    except ProofmeshError:
        signed = False
    inputs = receipt.public_inputs()
    return (
        Check(
            name="award belongs to order",
            passed=receipt.award.order_hash == order_hash,
            detail=f"order 0x{order_hash.hex()}",
        ),
        Check(name="award signed by client", passed=signed, detail=f"0x{receipt.order.client.hex()}"),
        Check(
            name="price within the cap",
            passed=receipt.award.price <= receipt.order.price_cap,
            detail=f"{receipt.award.price} wei",
        ),
        Check(
            name="verifying key is the program's",
            passed=receipt.program.id() == receipt.order.program_id,
            detail=f"program 0x{receipt.order.program_id.hex()}",
        ),
        Check(
            name="proof verifies",
            passed=verify(receipt.program.verifying_key, receipt.proof, inputs),
            detail="dev keys: single-party set-up" if receipt.program.dev else "ceremony keys",
        ),
    )


def to_json(receipt: Receipt) -> str:
    """Return the receipt as JSON: bytes as hexadecimal, amounts as decimal strings."""
    return json.dumps(_readable(receipt), indent=2, sort_keys=True) + "\n"


def from_json(text: str) -> Receipt:
    """Parse a receipt.

    Raises:
        ReceiptError: it is not one; the message names the field.
    """
    if len(text) > MAX_RECEIPT_BYTES:
        raise ReceiptError("The receipt is too large.")
    try:
        fields = bounded_json.loads(text)
        return Receipt.model_validate(_typed(fields))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ReceiptError(f"The receipt's field {place or 'root'} is not valid.") from None
    except (ValueError, RecursionError):
        raise ReceiptError("The receipt is not JSON.") from None


def _readable(value: Any) -> Any:
    if isinstance(value, Record):
        return {name: _readable(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple):
        return [_readable(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_typed(item) for item in value)
    if isinstance(value, str) and value.startswith("0x"):
        return bytes.fromhex(value[2:])
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 80:
        return int(value)
    return value
