# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders, bids, awards and one event of each type, for the tests of `market/`. All of order `ORDER`."""

from __future__ import annotations

from dataclasses import replace

from market import effects, events, prover, verifier
from market.events import Event
from market.instants import SECOND
from market.pricing import Tariff
from protocol.binding import market_binding
from protocol.eip712 import digest
from protocol.structs import Award, Bid, Network, Order

NETWORK = Network(chain_id=31_337, escrow=b"\xee" * 20)
NOW = 1_000_000
"""Chain time at which the samples happen, in seconds."""
AT = NOW * SECOND
CLIENT, PROVER, OTHER, VERIFIER = (bytes([byte]) * 20 for byte in (0xC1, 0xA1, 0xA2, 0xB1))
PAYOUT, OTHER_PAYOUT = b"\xd1" * 20, b"\xd2" * 20
PROGRAM = b"\x11" * 32
GAS_PRICE = 10**7
FEE = 5 * 10**12
TX = b"\x77" * 32
SIGNATURE = bytes(65)
PROOF = bytes(256)
PROVING_MS = 1_000
TARIFF = Tariff()
WINDOW = 2 * SECOND


def an_order(**changes: object) -> Order:
    """An order that a default prover serves."""
    fields: dict[str, object] = {
        "client": CLIENT,
        "program_id": PROGRAM,
        "input_commitment": 7,
        "price_cap": 10**14,
        "verifier_fee": FEE,
        "collateral": 4_000,
        "promise_by": NOW + 120,
        "final_by": NOW + 180,
        "salt": b"\x55" * 32,
    }
    return Order.model_validate(fields | changes)


ORDER = an_order()
ORDER_HASH = digest(NETWORK, ORDER)


def a_bid(account: bytes = PROVER, **changes: object) -> Bid:
    """A bid on `ORDER`."""
    fields: dict[str, object] = {
        "order_hash": ORDER_HASH,
        "prover": account,
        "payout": PAYOUT if account == PROVER else OTHER_PAYOUT,
        "price": 10**13,
        "promise_at": NOW + 30,
        "expires_at": NOW + 30,
        "locks": False,
        "sealing_key": b"\x99" * 32,
    }
    return Bid.model_validate(fields | changes)


def an_award(bid: Bid, **changes: object) -> Award:
    """The award that chooses this bid."""
    fields: dict[str, object] = {
        "order_hash": bid.order_hash,
        "bid_hash": digest(NETWORK, bid),
        "prover": bid.prover,
        "payout": bid.payout,
        "price": bid.price,
        "promise_at": bid.promise_at,
        "lock_by": NOW + 10,
    }
    return Award.model_validate(fields | changes)


def placed(at: int = AT, **changes: object) -> events.OrderPlaced:
    """The order is placed, with policy `price` and a window of two seconds."""
    event = events.OrderPlaced(at, ORDER_HASH, ORDER, "price", WINDOW, None)
    return replace(event, **changes)  # type: ignore[arg-type]


def bid_received(bid: Bid, at: int = AT) -> events.BidReceived:
    """A bid, from a peer named after its prover."""
    return events.BidReceived(at, bid.order_hash, bid.prover.hex()[:4], bid, digest(NETWORK, bid))


def order_seen(at: int = AT, order: Order = ORDER, balance: int = 10**18) -> events.OrderSeen:
    """The announcement of an order, issued now."""
    return events.OrderSeen(
        at, digest(NETWORK, order), order, at // SECOND, "client", balance, b"\x99" * 32
    )


def award_received(award: Award, at: int = AT) -> events.AwardReceived:
    """The signed award of a bid."""
    return events.AwardReceived(at, award.order_hash, "client", award, digest(NETWORK, award), SIGNATURE)


def proof_received(at: int = AT, bid: Bid | None = None, order: Order = ORDER) -> events.ProofReceived:
    """A proof for the verifier."""
    award = an_award(bid or a_bid())
    return events.ProofReceived(
        at,
        ORDER_HASH,
        "prover",
        order,
        award,
        digest(NETWORK, award),
        SIGNATURE,
        (1,),
        PROOF,
        VERIFIER,
        10**18,
    )


def settled(at: int = AT, account: bytes = PROVER, settler: bytes = VERIFIER) -> events.ChainSettled:
    """The order is settled with this prover's proof."""
    payout = PAYOUT if account == PROVER else OTHER_PAYOUT
    return events.ChainSettled(at, ORDER_HASH, TX, account, payout, settler, 10**13, FEE)


def locked(at: int = AT, account: bytes = PROVER, promise_at: int = NOW + 30) -> events.ChainLocked:
    """The order is locked for this prover at a price of 10^13 wei."""
    return events.ChainLocked(at, ORDER_HASH, b"\x88" * 32, account, promise_at, 10**13)


def a_prover(**changes: object) -> prover.State:
    """A prover that serves `PROGRAM` and knows one verifier."""
    state = prover.State(
        network=NETWORK,
        account=PROVER,
        payout=PAYOUT,
        programs={PROGRAM: PROVING_MS},
        verifiers={VERIFIER: events.VerifierSeen(AT, "verifier", VERIFIER, 0)},
        balance=10**18,
        gas_price=GAS_PRICE,
    )
    return replace(state, **changes)  # type: ignore[arg-type]


def a_verifier(**changes: object) -> verifier.State:
    """A verifier that settles for any fee that covers its gas."""
    return replace(verifier.State(account=VERIFIER, gas_price=GAS_PRICE), **changes)  # type: ignore[arg-type]


def an_event(kind: type[Event], at: int = AT) -> Event:
    """A representative event of a type."""
    return {type(event): event for event in all_events(at)}[kind]


def all_events(at: int = AT) -> list[Event]:
    """One event of each type, of any role."""
    of = ORDER_HASH
    return [
        events.Tick(at),
        placed(at),
        bid_received(a_bid(), at),
        events.RefusalReceived(at, of, PROVER, "PM-REF-004", 0),
        events.AwardAccepted(at, of, PROVER),
        events.CancelAsked(at, of),
        order_seen(at),
        award_received(an_award(a_bid()), at),
        events.InputOpened(at, of),
        events.InputRejected(at, of),
        events.WitnessReady(at, of),
        events.ProofReady(at, of, (1,), PROOF, 900),
        events.ProofFailed(at, of),
        events.LockFailed(at, of),
        events.ProgramServed(at, PROGRAM, PROVING_MS),
        events.VerifierSeen(at, "verifier", VERIFIER, 0),
        events.VerifierGone(at, VERIFIER),
        events.VerifierAnswered(at, of, "PM-REF-021"),
        events.FundsChanged(at, 10**18, GAS_PRICE),
        proof_received(at),
        events.ProofChecked(at, of, True),
        events.SettlementFailed(at, of, "AlreadySettled"),
        locked(at),
        settled(at),
        events.ChainReleased(at, of, PROVER),
        events.ChainExpired(at, of, TX),
        events.ChainUndone(at, of),
    ]


def all_effects() -> list[effects.Effect]:
    """One effect of each type."""
    of, bid = ORDER_HASH, a_bid()
    award = an_award(bid)
    proof = (ORDER, award, SIGNATURE, (1,), PROOF, VERIFIER)
    return [
        effects.Announce(of, ORDER, NOW, NOW + 2),
        effects.SendAward(of, "peer", award, bid.sealing_key),
        effects.SendBid(of, "peer", bid),
        effects.SendRefusal(of, "peer", "PM-REF-002", 2**100),
        effects.ComputeWitness(of, ORDER),
        effects.StartProof(of, ORDER, market_binding(of, PAYOUT, VERIFIER)),
        effects.SubmitLock(of, ORDER, award, SIGNATURE),
        effects.SendProof(of, "peer", *proof),
        effects.CheckProof(of, ORDER, award, (1,), PROOF, VERIFIER),
        effects.SubmitSettlement(of, *proof),
        effects.SubmitBatch(of, (effects.SubmitSettlement(of, *proof), effects.SubmitSettlement(of, *proof))),
        effects.SendNotice(of, "peer", b"\x88" * 32, TX),
        effects.SubmitRelease(of, ORDER, award),
        effects.SubmitExpire(of, ORDER, b"\x88" * 32),
        effects.SubmitCancel(of, ORDER),
        effects.KeepReceipt(of, ORDER, TX),
        effects.EraseSecrets(of),
        effects.Report(of, "topic", CLIENT, 2**90, "text"),
        effects.Unexpected(of, "Tick", "phase"),
    ]
