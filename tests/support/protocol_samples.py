# SPDX-License-Identifier: GPL-3.0-or-later
"""One fixed, correctly signed message of each kind and more at the edges: what the golden vectors hold."""

from __future__ import annotations

from protocol.eip712 import Signable, addresses_hash, digest
from protocol.messages import (
    Acknowledgement,
    AwardMessage,
    BidMessage,
    Hello,
    Message,
    OrderAnnouncement,
    ProofMessage,
    Refusal,
    SealedInput,
    SettlementNotice,
)
from protocol.scalars import BN254_SCALAR_ORDER, MAX_AMOUNT
from protocol.sealing import public_key
from protocol.signing import Account
from protocol.structs import (
    OPEN_ORDER,
    Announcement,
    Award,
    Bid,
    Introduction,
    Network,
    Notice,
    Order,
    RefusalTerms,
)

NETWORK = Network(chain_id=31_337, escrow=bytes(range(1, 21)))
OTHER_NETWORK = Network(chain_id=31_338, escrow=NETWORK.escrow)
SECRETS = {name: bytes([index]) * 32 for index, name in enumerate(("client", "prover", "verifier"), 1)}
CLIENT, PROVER, VERIFIER = (Account(secret) for secret in SECRETS.values())
PAYOUT = b"\xd1" * 20
SEALING_SECRET, EPHEMERAL_SECRET = b"\x21" * 32, b"\x22" * 32
PLAINTEXT = b"golden input"
NOW = 1_800_000_000
ADDRESSES = (
    "/ip4/192.0.2.7/tcp/4001/p2p/16Uiu2HAmQkbuGb3K3DmCyEDvKumSVCphVJCGPGHNoc4CobJbxfsC",
    "/dns4/prover.example/tcp/4001",
)

ORDER = Order(
    client=CLIENT.address,
    program_id=b"\x31" * 32,
    model_id=b"\x32" * 32,
    input_commitment=BN254_SCALAR_ORDER - 1,
    price_cap=10**15,
    verifier_fee=5 * 10**12,
    royalty_bps=250,
    collateral=2 * 10**15,
    promise_by=NOW + 120,
    final_by=NOW + 600,
    reply_key=public_key(b"\x23" * 32),
    salt=b"\x33" * 32,
)
OPEN = Order(
    client=CLIENT.address,
    program_id=b"\x31" * 32,
    kind=OPEN_ORDER,
    input_commitment=0,
    input_hash=b"\x34" * 32,
    input_size=2**63 - 1,
    parameters_hash=b"\x35" * 32,
    token=b"\x36" * 20,
    price_floor=1,
    price_cap=MAX_AMOUNT,
    ramp_start=NOW,
    ramp_end=NOW + 300,
    royalty_bps=10_000,
    collateral_token=b"\x37" * 20,
    promise_by=NOW + 300,
    final_by=2**63 - 1,
    consumer=b"\x38" * 20,
    context=b"\x39" * 32,
    salt=b"\x3a" * 32,
)
ORDER_HASH = digest(NETWORK, ORDER)
BID = Bid(
    order_hash=ORDER_HASH,
    prover=PROVER.address,
    payout=PAYOUT,
    price=9 * 10**14,
    promise_at=NOW + 60,
    expires_at=NOW + 15,
    locks=True,
    sealing_key=public_key(SEALING_SECRET),
)
AWARD = Award(
    order_hash=ORDER_HASH,
    bid_hash=digest(NETWORK, BID),
    prover=PROVER.address,
    payout=PAYOUT,
    price=BID.price,
    promise_at=BID.promise_at,
    lock_by=NOW + 30,
)
AWARD_HASH = digest(NETWORK, AWARD)
REFUSAL_TERMS = RefusalTerms(
    order_hash=ORDER_HASH, prover=PROVER.address, code="PM-REF-002", quote=2 * 10**15, issued_at=NOW
)
NOTICE = Notice(
    order_hash=ORDER_HASH,
    award_hash=AWARD_HASH,
    transaction_hash=b"\x41" * 32,
    settler=VERIFIER.address,
    issued_at=NOW + 40,
)
INTRODUCTION = Introduction(
    peer=ADDRESSES[0].rsplit("/", 1)[1],
    roles="prover,verifier",
    least_fee=10**12,
    addresses_hash=addresses_hash(ADDRESSES),
    issued_at=NOW,
    expires_at=NOW + 600,
)


def announcement(order: Order, addresses: tuple[str, ...] = ADDRESSES) -> Announcement:
    """What the client signs to announce an order."""
    return Announcement(
        order_hash=digest(NETWORK, order),
        addresses_hash=addresses_hash(addresses),
        issued_at=NOW,
        expires_at=NOW + 30,
    )


STRUCTS: dict[str, tuple[Signable, Account]] = {
    "order": (ORDER, CLIENT),
    "open_order": (OPEN, CLIENT),
    "bid": (BID, PROVER),
    "award": (AWARD, CLIENT),
    "announcement": (announcement(ORDER), CLIENT),
    "refusal": (REFUSAL_TERMS, PROVER),
    "introduction": (INTRODUCTION, VERIFIER),
    "notice": (NOTICE, VERIFIER),
}


def messages(ciphertext: bytes) -> dict[str, Message]:
    """The messages of the vectors by name; `ciphertext` is the sealed input."""
    def announce(order: Order, signature: bytes | None) -> OrderAnnouncement:
        return OrderAnnouncement(
            network=NETWORK,
            order=order,
            addresses=ADDRESSES,
            issued_at=NOW,
            expires_at=NOW + 30,
            signature=CLIENT.sign(NETWORK, announcement(order)),
            order_signature=signature,
        )

    award_signature = CLIENT.sign(NETWORK, AWARD)
    return {
        "order": announce(ORDER, None),
        "open_order": announce(OPEN, CLIENT.sign(NETWORK, OPEN)),
        "bid": BidMessage(
            network=NETWORK, bid=BID, addresses=ADDRESSES, signature=PROVER.sign(NETWORK, BID)
        ),
        "award": AwardMessage(network=NETWORK, award=AWARD, signature=award_signature),
        "sealed_input": SealedInput(
            network=NETWORK, order_hash=ORDER_HASH, award_hash=AWARD_HASH, ciphertext=ciphertext
        ),
        "proof": ProofMessage(
            network=NETWORK,
            order=ORDER,
            award=AWARD,
            award_signature=award_signature,
            outputs=(1, 0, BN254_SCALAR_ORDER - 1),
            proof=bytes(range(256)),
            settler=VERIFIER.address,
        ),
        "settlement": SettlementNotice(
            network=NETWORK, notice=NOTICE, signature=VERIFIER.sign(NETWORK, NOTICE)
        ),
        "refusal": Refusal(
            network=NETWORK, terms=REFUSAL_TERMS, signature=PROVER.sign(NETWORK, REFUSAL_TERMS)
        ),
        "refusal_in_an_answer": Refusal(
            network=NETWORK,
            terms=RefusalTerms(
                order_hash=bytes(32), prover=bytes(20), code="PM-WIRE-005", quote=0, issued_at=0
            ),
            signature=None,
        ),
        "acknowledgement": Acknowledgement(network=NETWORK, request_hash=b"\x51" * 32),
        "hello": Hello(
            network=NETWORK,
            roles=("prover", "verifier"),
            account=VERIFIER.address,
            least_fee=10**12,
            addresses=ADDRESSES,
            peers=ADDRESSES[:1],
            issued_at=NOW,
            expires_at=NOW + 600,
            signature=VERIFIER.sign(NETWORK, INTRODUCTION),
        ),
        "hello_of_a_stranger": Hello(
            network=NETWORK,
            roles=(),
            account=bytes(20),
            least_fee=0,
            addresses=(),
            peers=(),
            issued_at=NOW,
            expires_at=NOW + 600,
        ),
    }
