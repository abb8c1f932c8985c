# SPDX-License-Identifier: GPL-3.0-or-later
"""A scenario: everything that a run is determined by, as a frozen record that JSON can hold.

Times are milliseconds since the start of the world, money is wei, probabilities are parts per million.
`drawing` makes one from a seed; `shrinking` takes away from it; a file of it replays on any machine.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from protocol import bounded_json
from protocol.errors import UsageError

FORMAT = 1
"""Of a scenario's JSON; another format is refused."""


@dataclass(frozen=True, slots=True)
class Clock:
    """How far a node's idea of chain time is off, and how it drifts until it hears of a block again."""

    offset_ms: int = 0
    drift_ppm: int = 0


@dataclass(frozen=True, slots=True)
class ClientSpec:
    """A client: how it behaves and what it has in the Escrow."""

    strategy: str = "honest"
    deposit: int = 10**18
    clock: Clock = Clock()


@dataclass(frozen=True, slots=True)
class ProverSpec:
    """A prover: its machine, its operator's figures, how it behaves."""

    strategy: str = "honest"
    deposit: int = 10**15
    clock: Clock = Clock()
    slowness_percent: int = 100
    """Proving time relative to the reference machine."""
    wei_per_ms: int = 2 * 10**9
    margin_bps: int = 1_000
    capacity: int = 2
    exposure_cap: int = 10**17


@dataclass(frozen=True, slots=True)
class VerifierSpec:
    """A verifier: its least fee and how it behaves."""

    strategy: str = "honest"
    clock: Clock = Clock()
    least_fee: int = 0


@dataclass(frozen=True, slots=True)
class OrderSpec:
    """One order. `client` is an index among clients, `allowed` are indices among provers."""

    at_ms: int
    number: int
    client: int
    program: int
    price_cap: int
    verifier_fee: int
    collateral: int
    promise_by_s: int
    """Seconds after it is placed."""
    final_by_s: int
    policy: str = "price"
    window_ms: int = 2_000
    allowed: tuple[int, ...] | None = None
    cancel_after_ms: int | None = None
    bad_input: bool = False
    must_settle: bool = False
    """Placed after healing, funded and fair: if it does not settle, liveness is broken."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What goes wrong by chance until everything heals."""

    loss: int = 0
    """Of transmissions; a stream retries, so that a loss is a delay."""
    gossip_loss: int = 0
    duplicate: int = 0
    reorder: int = 0
    """Messages that take seconds longer than others."""
    lost_answer: int = 0
    """Requests that arrive while their answer does not."""
    prover_death: int = 0
    """Provers that die at the start of a proof."""
    verifier_death: int = 0
    """Verifiers that die with a proof in hand."""
    dropped: int = 0
    """Transactions that the mempool forgets; their senders send them again."""
    false_failure: int = 0
    """Transactions that are reported as failed and are mined all the same."""
    proof_failure: int = 0
    """Proofs that a worker cannot make."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A node dies at one step of its shell: between any two of journal, apply and act."""

    node: int
    step: int
    down_ms: int


@dataclass(frozen=True, slots=True)
class Partition:
    """From one instant to another these nodes and all others cannot hear each other."""

    from_ms: int
    to_ms: int
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Outage:
    """A node's RPC does not answer."""

    node: int
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Reorg:
    """The chain replaces its newest blocks; what was in them is mined again later, or is forgotten."""

    at_ms: int
    depth: int
    forgets_ppm: int = 0


@dataclass(frozen=True, slots=True)
class GasSpike:
    """Gas costs a multiple for a while."""

    from_ms: int
    to_ms: int
    factor: int


@dataclass(frozen=True, slots=True)
class Censorship:
    """No block takes a node's transactions for a while."""

    node: int
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """One world and all that happens to it."""

    seed: int
    clients: tuple[ClientSpec, ...]
    provers: tuple[ProverSpec, ...]
    verifiers: tuple[VerifierSpec, ...]
    orders: tuple[OrderSpec, ...]
    heal_ms: int
    """When faults end; liars go on lying."""
    latency_ms: int = 40
    block_seconds: int = 2
    confirmations: int = 1
    gas_price: int = 10**7
    rates: Rates = Rates()
    crashes: tuple[Crash, ...] = ()
    partitions: tuple[Partition, ...] = ()
    outages: tuple[Outage, ...] = ()
    reorgs: tuple[Reorg, ...] = ()
    gas_spikes: tuple[GasSpike, ...] = ()
    censorships: tuple[Censorship, ...] = ()

    @property
    def nodes(self) -> int:
        """How many nodes take part."""
        return len(self.clients) + len(self.provers) + len(self.verifiers)

    @property
    def first_prover(self) -> int:
        """The index of the first prover among all nodes."""
        return len(self.clients)

    @property
    def first_verifier(self) -> int:
        """The index of the first verifier among all nodes."""
        return len(self.clients) + len(self.provers)

    @property
    def hindered(self) -> tuple[int, ...]:
        """The nodes that crash, lose their RPC or are censored, as often as they do."""
        return (
            *(crash.node for crash in self.crashes),
            *(outage.node for outage in self.outages),
            *(censorship.node for censorship in self.censorships),
        )


_ADAPTER = TypeAdapter(Scenario)


def to_json(scenario: Scenario, **notes: str) -> str:
    """Return the JSON of a scenario, with notes beside it."""
    return json.dumps({"format": FORMAT, **notes, "scenario": asdict(scenario)}, indent=1)


def from_json(text: str) -> Scenario:
    """Return the scenario of a JSON text.

    Raises:
        UsageError: the text is not a scenario of this format.
    """
    try:
        value = bounded_json.loads(text)
        if value.get("format") != FORMAT:
            raise UsageError(f"A scenario of format {value.get('format')} is not format {FORMAT}.")
        scenario = _ADAPTER.validate_python(value["scenario"])
    except (ValueError, KeyError, AttributeError, ValidationError) as error:
        raise UsageError(f"This is not a scenario: {type(error).__name__}.") from None
    require_sound(scenario)
    return scenario


def require_sound(scenario: Scenario) -> None:
    """Raise UsageError when a scenario names nodes that it does not have, or times that go backwards."""
    clients, provers, nodes = len(scenario.clients), len(scenario.provers), scenario.nodes
    if not (clients and provers and scenario.orders):
        raise UsageError("A simulation needs a client, a prover and a job.")
    if scenario.block_seconds < 1 or scenario.latency_ms < 0 or scenario.confirmations < 1:
        raise UsageError("A simulation needs blocks of a second or more, and no negative latency.")
    rates = asdict(scenario.rates).values()
    if any(not 0 <= rate <= 500_000 for rate in rates):
        raise UsageError("Rates are given in parts per million, from 0 to 500000.")
    named = [order.client < clients for order in scenario.orders]
    named += [index < provers for order in scenario.orders for index in order.allowed or ()]
    named += [node < nodes for node in scenario.hindered]
    named += [index < nodes for one in scenario.partitions for index in one.nodes]
    if not all(named):
        raise UsageError("A scenario names a node that it does not have.")
