# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypothesis strategies of every struct and message of the wire, over the whole range of each field."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from protocol.messages import (
    SIZE_CAPS,
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

KINDS = sorted(SIZE_CAPS)


def _bytes(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size) | st.sampled_from([bytes(size), b"\xff" * size])


def _up_to(largest: int) -> st.SearchStrategy[int]:
    return st.integers(0, largest) | st.sampled_from([0, min(largest, 127), min(largest, 128), largest])


ADDRESS, HASH, SIGNATURE = _bytes(20), _bytes(32), _bytes(65)
WEI, ELEMENT, TIME = _up_to(MAX_AMOUNT), _up_to(BN254_SCALAR_ORDER - 1), _up_to(2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
ADDRESSES = st.lists(TEXT, max_size=8).map(tuple)
CODE = st.from_regex(r"PM-[A-Z]{2,5}-[0-9]{3}", fullmatch=True)

NETWORKS = st.builds(Network, chain_id=st.integers(1, 2**63 - 1), escrow=ADDRESS)
ORDERS = st.builds(
    Order,
    client=ADDRESS,
    program_id=HASH,
    model_id=HASH,
    kind=st.sampled_from([0, 1]),
    input_commitment=ELEMENT,
    input_hash=HASH,
    input_size=TIME,
    parameters_hash=HASH,
    token=ADDRESS,
    price_floor=WEI,
    price_cap=WEI,
    ramp_start=TIME,
    ramp_end=TIME,
    verifier_fee=WEI,
    royalty_bps=st.integers(0, 10_000),
    collateral_token=ADDRESS,
    collateral=WEI,
    promise_by=TIME,
    final_by=TIME,
    consumer=ADDRESS,
    context=HASH,
    reply_key=HASH,
    salt=HASH,
)
AWARDS = st.builds(
    Award,
    order_hash=HASH,
    bid_hash=HASH,
    prover=ADDRESS,
    payout=ADDRESS,
    price=WEI,
    promise_at=TIME,
    lock_by=TIME,
)
BIDS = st.builds(
    Bid,
    order_hash=HASH,
    prover=ADDRESS,
    payout=ADDRESS,
    price=WEI,
    promise_at=TIME,
    expires_at=TIME,
    locks=st.booleans(),
    sealing_key=HASH,
)
ANNOUNCEMENTS = st.builds(Announcement, order_hash=HASH, addresses_hash=HASH, issued_at=TIME, expires_at=TIME)
REFUSALS = st.builds(RefusalTerms, order_hash=HASH, prover=ADDRESS, code=CODE, quote=WEI, issued_at=TIME)
NOTICES = st.builds(
    Notice, order_hash=HASH, award_hash=HASH, transaction_hash=HASH, settler=ADDRESS, issued_at=TIME
)
INTRODUCTIONS = st.builds(
    Introduction,
    peer=st.text("ab1", min_size=1, max_size=60),
    roles=st.sampled_from(["", "prover", "prover,verifier"]),
    least_fee=WEI,
    addresses_hash=HASH,
    issued_at=TIME,
    expires_at=TIME,
)
STRUCTS = st.one_of(ORDERS, AWARDS, BIDS, ANNOUNCEMENTS, REFUSALS, NOTICES, INTRODUCTIONS)


@st.composite
def announced(draw: st.DrawFn) -> OrderAnnouncement:
    """Announcements; open orders, and they alone, come with the signature of the order."""
    order = draw(ORDERS)
    return OrderAnnouncement(
        network=draw(NETWORKS),
        order=order,
        addresses=draw(ADDRESSES),
        issued_at=draw(TIME),
        expires_at=draw(TIME),
        signature=draw(SIGNATURE),
        order_signature=draw(SIGNATURE) if order.kind == OPEN_ORDER else None,
    )


@st.composite
def hellos(draw: st.DrawFn) -> Hello:
    """Introductions; who names an account signs, and a verifier names one."""
    roles, account = draw(ROLES), draw(ADDRESS)
    account = b"\x01" * 20 if "verifier" in roles and not any(account) else account
    return Hello(
        network=draw(NETWORKS),
        roles=roles,  # type: ignore[arg-type]
        account=account,
        least_fee=draw(WEI),
        addresses=draw(ADDRESSES),
        peers=draw(st.lists(TEXT, max_size=64).map(tuple)),
        issued_at=draw(TIME),
        expires_at=draw(TIME),
        signature=draw(SIGNATURE) if any(account) else None,
    )


ROLES = st.lists(st.sampled_from(["client", "prover", "verifier", "publisher"]), max_size=4).map(tuple)
BY_KIND: dict[str, st.SearchStrategy[Any]] = {
    "order": announced(),
    "bid": st.builds(BidMessage, network=NETWORKS, bid=BIDS, addresses=ADDRESSES, signature=SIGNATURE),
    "award": st.builds(AwardMessage, network=NETWORKS, award=AWARDS, signature=SIGNATURE),
    "sealed_input": st.builds(
        SealedInput,
        network=NETWORKS,
        order_hash=HASH,
        award_hash=HASH,
        ciphertext=st.binary(min_size=48, max_size=300),
    ),
    "proof": st.builds(
        ProofMessage,
        network=NETWORKS,
        order=ORDERS,
        award=AWARDS,
        award_signature=SIGNATURE,
        outputs=st.lists(ELEMENT, max_size=64).map(tuple),
        proof=_bytes(256),
        settler=ADDRESS,
    ),
    "settlement": st.builds(SettlementNotice, network=NETWORKS, notice=NOTICES, signature=SIGNATURE),
    "refusal": st.builds(Refusal, network=NETWORKS, terms=REFUSALS, signature=st.none() | SIGNATURE),
    "acknowledgement": st.builds(Acknowledgement, network=NETWORKS, request_hash=HASH),
    "hello": hellos(),
}
MESSAGES: st.SearchStrategy[Message] = st.one_of(*BY_KIND.values())
