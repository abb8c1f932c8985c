# SPDX-License-Identifier: GPL-3.0-or-later
"""An Escrow on anvil, a tiny program with a real Groth16 key, and accounts that sign and prove."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from anvil import GENESIS_TIME, anvil, freeze_time
from simulated_programs import LAYOUT as SIMULATED_LAYOUT
from simulated_programs import SETUP_ID as SIMULATED_SETUP
from simulated_programs import SimulatedProgram

from contracts import bindings
from contracts.deploy import deploy
from contracts.deployment import Deployment, Terms
from contracts.events import Event, decode_event
from contracts.records import ModelRecord, OrderState, Settlement
from contracts.rpc import Rpc
from node.settings import Settings
from protocol.binding import market_binding
from protocol.eip712 import digest
from protocol.scalars import BN254_SCALAR_ORDER, ZERO_HASH
from protocol.signing import Account
from protocol.statement import GROTH16_BN254, program_id
from protocol.structs import Award, Network, Order
from proving.constraints.files import wtns_bytes
from proving.constraints.system import ConstraintSystem
from proving.groth16 import engine
from proving.groth16.dev_setup import dev_keys
from proving.sparse import from_rows

ETHER = 10**18
WITHDRAWAL_DELAY = 600
SECRET = 7
"""The tiny circuit's private input x: it proves knowledge of x with commitment = x^2 and output = x^3."""
CUBE = ConstraintSystem(
    wires=6,
    public=3,
    a=from_rows(6, [{4: 1}, {4: 1}, {3: 1}]),
    b=from_rows(6, [{4: 1}, {1: 1}, {4: 1}]),
    c=from_rows(6, [{1: 1}, {2: 1}, {5: 1}]),
)
COMMITMENT, OUTPUT = SECRET**2, SECRET**3
LAYOUT = bytes.fromhex("11" * 32)
SETUP_ID = bytes.fromhex("22" * 32)


@dataclass(frozen=True)
class TinyProgram:
    """The verifying key of the tiny circuit, and proofs with it."""

    vk: tuple[int, ...]
    key: Any

    @property
    def program_id(self) -> bytes:
        return program_id(GROTH16_BN254, self.vk, LAYOUT, SETUP_ID, True)

    def prove(self, binding: int) -> bytes:
        wires = [1, COMMITMENT, OUTPUT, binding, SECRET, binding * SECRET % BN254_SCALAR_ORDER]
        rows = b"".join(each.to_bytes(32, "little") for each in wires)
        witness = np.frombuffer(rows, dtype=np.uint8).reshape(-1, 32)
        return engine.prove_unverified(self.key, wtns_bytes(witness))


@cache
def tiny_program() -> TinyProgram:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        vk = dev_keys(CUBE, bytes(32), path).verifying_key
        return TinyProgram(vk, engine.load_zkey(path, hashlib.sha256(path.read_bytes()).hexdigest()))


def account(name: str) -> Account:
    """The account of a name: same name, same key."""
    return Account(hashlib.sha256(b"test account " + name.encode()).digest())


@dataclass(frozen=True)
class Market:
    """The contracts on a running chain."""

    rpc: Rpc
    url: str
    deployment: Deployment
    network: Network
    model_id: bytes

    def now(self) -> int:
        return int(self.rpc.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def set_time(self, timestamp: int) -> None:
        freeze_time(self.rpc, timestamp)

    def settings(self, folder: Path, rpc_url: str = "") -> Settings:
        """The settings of a node in `folder` that follows this market, or what is in front of it."""
        return Settings(
            data_dir=folder,
            rpc_url=rpc_url or self.url,
            chain_id=self.deployment.chain_id,
            escrow=self.deployment.escrow,
            registry=self.deployment.registry,
            poll_ms=20,
            confirmations=1,
        )

    def send(self, sender: Account, data: bytes, value: int = 0) -> dict[str, Any]:
        return self.rpc.transact(sender, self.deployment.escrow, data, value)

    def register(self, sender: Account, data: bytes) -> dict[str, Any]:
        return self.rpc.transact(sender, self.deployment.registry, data)

    def view(self, data: bytes, sender: bytes | None = None) -> bytes:
        return self.rpc.eth_call(self.deployment.escrow, data, sender)

    def balance(self, address: bytes) -> int:
        return bindings.decode_number(self.view(bindings.balance_of(address)))

    def state(self, order: Order) -> OrderState:
        return bindings.decode_state(self.view(bindings.state_of(digest(self.network, order))))

    def held(self) -> int:
        return self.rpc.quantity("eth_getBalance", "0x" + self.deployment.escrow.hex(), "latest")

    def events(self) -> Iterator[Event]:
        query = {"fromBlock": "0x0", "address": "0x" + self.deployment.escrow.hex()}
        for log in self.rpc.call("eth_getLogs", query):
            event = decode_event(
                [bytes.fromhex(topic[2:]) for topic in log["topics"]], bytes.fromhex(log["data"][2:])
            )
            assert event is not None
            yield event

    def order(self, client: bytes, salt: int, **changes: Any) -> Order:
        now = self.now()
        fields: dict[str, Any] = {
            "client": client,
            "program_id": tiny_program().program_id,
            "input_commitment": COMMITMENT,
            "price_cap": ETHER,
            "verifier_fee": 1001,
            "collateral": 4003,
            "promise_by": now + 100,
            "final_by": now + 200,
            "salt": salt.to_bytes(32, "big"),
        }
        return Order(**{**fields, **changes})

    def award(self, order: Order, prover: bytes, **changes: Any) -> Award:
        fields: dict[str, Any] = {
            "order_hash": digest(self.network, order),
            "bid_hash": ZERO_HASH,
            "prover": prover,
            "payout": prover,
            "price": 10_007,
            "promise_at": order.promise_by,
            "lock_by": order.promise_by,
        }
        return Award(**{**fields, **changes})

    def settlement(self, client: Account, order: Order, award: Award, settler: bytes) -> Settlement:
        binding = market_binding(digest(self.network, order), award.payout, settler)
        return Settlement(
            order,
            award,
            client.sign(self.network, award),
            tiny_program().prove(binding),
            (OUTPUT,),
            settler,
        )


    def register_program(self, program: SimulatedProgram) -> None:
        data = bindings.register_program(GROTH16_BN254, program.vk, SIMULATED_LAYOUT, SIMULATED_SETUP, True)
        self.register(account("publisher"), data)

    def simulated(
        self, program: SimulatedProgram, client: Account, order: Order, award: Award, settler: bytes, shift: int = 0
    ) -> Settlement:
        """The settlement of an order of a simulated program; with `shift` its proof is bad."""
        outputs = tuple(range(100, 100 + program.inputs - 2))
        binding = market_binding(digest(self.network, order), award.payout, settler)
        proof = program.prove((order.input_commitment, *outputs, binding), shift)
        return Settlement(order, award, client.sign(self.network, award), proof, outputs, settler)


@contextmanager
def market(names: Sequence[str] = (), *, allow_dev: bool = True) -> Iterator[Market]:
    """A fresh chain with the contracts, the tiny program and a model; `names` get 100 ether each."""
    with anvil() as url, Rpc(url) as rpc:
        publisher = account("publisher")
        for each in (publisher, *map(account, names)):
            rpc.call("anvil_setBalance", "0x" + each.address.hex(), hex(100 * ETHER))
        deployment = deploy(url, publisher, Terms(allow_dev, WITHDRAWAL_DELAY))
        program = tiny_program()
        data = bindings.register_program(GROTH16_BN254, program.vk, LAYOUT, SETUP_ID, True)
        rpc.transact(publisher, deployment.registry, data)
        record = model_record(program.program_id)
        rpc.transact(publisher, deployment.registry, bindings.publish_model(record))
        network = Network(chain_id=deployment.chain_id, escrow=deployment.escrow)
        freeze_time(rpc, GENESIS_TIME + 1000)
        yield Market(rpc, url, deployment, network, bindings.model_id(publisher.address, record))


def model_record(program: bytes, **changes: Any) -> ModelRecord:
    fields: dict[str, Any] = {
        "program_id": program,
        "bundle_id": b"\x01" * 32,
        "weights_commitment": ZERO_HASH,
        "onnx_hash": b"\x02" * 32,
        "training_data_root": b"\x03" * 32,
        "training_record_hash": b"\x04" * 32,
        "parent_model": ZERO_HASH,
        "royalty_bps": 250,
        "licence": "CC-BY-4.0",
        "uri": "bundle:test",
    }
    return ModelRecord(**{**fields, **changes})
