# SPDX-License-Identifier: GPL-3.0-or-later
"""Golden vectors for other implementations: `python tests/support/make_vectors.py [--check]`.

In tests/protocol/vectors byte strings are hex with 0x and every number is a decimal string, so that no
reader of JSON rounds one. All keys in them are test keys.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as a script, the path has this folder alone
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from protocol_hostile import hostile
from protocol_reference import hpke_seal
from protocol_samples import (
    ADDRESSES,
    AWARD_HASH,
    CLIENT,
    EPHEMERAL_SECRET,
    NETWORK,
    ORDER,
    ORDER_HASH,
    PAYOUT,
    PLAINTEXT,
    SEALING_SECRET,
    SECRETS,
    STRUCTS,
    VERIFIER,
    messages,
)

from protocol.binding import local_binding, market_binding
from protocol.codec import encode
from protocol.eip712 import addresses_hash, digest, domain_separator, struct_hash, type_string
from protocol.framing import frame
from protocol.hashing import keccak256
from protocol.messages import SIZE_CAPS, Message
from protocol.scalars import Record
from protocol.sealing import public_key
from protocol.signing import Account
from protocol.statement import GROTH16_BN254, program_id, statement_hash

FOLDER = Path(__file__).resolve().parents[1] / "protocol" / "vectors"
INFO = b"proofmesh.seal.v1" + NETWORK.chain_id.to_bytes(8, "big") + NETWORK.escrow + ORDER_HASH + AWARD_HASH


def rendered() -> dict[str, str]:
    """Name and text of each vector file, as the code gives them now."""
    sealed = hpke_seal(public_key(SEALING_SECRET), EPHEMERAL_SECRET, INFO, PLAINTEXT)
    contents = {
        "messages.json": [_message(name, message) for name, message in messages(sealed).items()],
        "refused.json": [
            {"name": name, "code": code, "bytes": in_json(data)} for name, (code, data) in hostile().items()
        ],
        "structs.json": _structs(),
        "hashes.json": _hashes(),
        "sealing.json": _sealing(sealed),
    }
    return {name: json.dumps(value, indent=1) + "\n" for name, value in contents.items()}


def in_json(value: Any) -> Any:
    """A value as the vectors write it: bytes as hex, integers as decimal strings, records as objects."""
    if isinstance(value, Record):
        return {name: in_json(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {name: in_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [in_json(item) for item in value]
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _message(name: str, message: Message) -> dict[str, Any]:
    data = encode(message)
    cap = SIZE_CAPS[message.kind]
    return {
        "name": name,
        "kind": message.kind,
        "cap": cap,
        "fields": in_json(message),
        "encoded": in_json(data),
        "framed": in_json(frame(data, cap)),
        "request_hash": in_json(keccak256(data)),
    }


def _structs() -> dict[str, Any]:
    return {
        "network": in_json(NETWORK),
        "domain_separator": in_json(domain_separator(NETWORK)),
        "accounts": {
            name: in_json({"secret": secret, "address": Account(secret).address})
            for name, secret in SECRETS.items()
        },
        "structs": [_struct(name) for name in STRUCTS],
    }


def _struct(name: str) -> dict[str, Any]:
    value, account = STRUCTS[name]
    text = type_string(type(value))
    return {
        "name": name,
        "type": text,
        "type_hash": in_json(keccak256(text.encode())),
        "fields": in_json(value),
        "struct_hash": in_json(struct_hash(value)),
        "digest": in_json(digest(NETWORK, value)),
        "signer": in_json(account.address),
        "signature": in_json(account.sign(NETWORK, value)),
    }


def _hashes() -> Any:
    market: dict[str, Any] = {"order_hash": ORDER_HASH, "payout": PAYOUT, "settler": VERIFIER.address}
    local: dict[str, Any] = {
        "chain_id": NETWORK.chain_id,
        "consumer": b"\x38" * 20,
        "subject": CLIENT.address,
    }
    binding = market_binding(**market)
    inputs = [ORDER.input_commitment, 0, 1, binding]
    program: dict[str, Any] = {
        "proof_system": GROTH16_BN254,
        "vk": list(range(1, 21)),
        "layout": b"\x61" * 32,
        "setup_id": b"\x62" * 32,
        "dev": True,
    }
    return in_json({
        "market_binding": {**market, "result": binding},
        "local_binding": {**local, "result": local_binding(**local)},
        "statement_hash": {
            "program_id": ORDER.program_id,
            "public_inputs": inputs,
            "result": statement_hash(ORDER.program_id, inputs),
        },
        "program_id": {**program, "result": program_id(**program)},
        "addresses_hash": {"addresses": ADDRESSES, "result": addresses_hash(ADDRESSES)},
        "addresses_hash_of_none": {"addresses": (), "result": addresses_hash(())},
    })


def _sealing(sealed: bytes) -> Any:
    return in_json({
        "recipient_secret": SEALING_SECRET,
        "recipient_public": public_key(SEALING_SECRET),
        "ephemeral_secret": EPHEMERAL_SECRET,
        "network": NETWORK,
        "order_hash": ORDER_HASH,
        "award_hash": AWARD_HASH,
        "info": INFO,
        "associated_data": b"",
        "plaintext": PLAINTEXT,
        "sealed": sealed,
    })


def main(arguments: list[str]) -> int:
    """Write the vectors, or with --check only say which are not current."""
    texts = rendered()
    if arguments == ["--check"]:
        stale = [
            name
            for name, text in texts.items()
            if not (FOLDER / name).exists() or (FOLDER / name).read_text("utf-8") != text
        ]
        for name in stale:
            print(f"{name} is not current", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts.items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
