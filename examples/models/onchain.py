# SPDX-License-Identifier: GPL-3.0-or-later
"""An order for a proof, settled on a development chain by the market's contracts: they check the proof."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contracts import bindings
from contracts.deploy import deploy
from contracts.deployment import Deployment, Terms
from contracts.records import Settlement
from contracts.rpc import Rpc
from protocol.binding import market_binding
from protocol.eip712 import digest
from protocol.scalars import ZERO_HASH
from protocol.signing import Account
from protocol.statement import GROTH16_BN254
from protocol.structs import Award, Network, Order
from proving.backends.base import Proved
from proving.bundle import Bundle

_ETHER = 10**18
_PRICE, _FEE, _COLLATERAL = 10_000, 1_000, 4_000
_PROMISE_S, _FINAL_S = 600, 1200
_PUBLISHER, _CLIENT, _PROVER = (Account(bytes([number]) * 32) for number in (1, 2, 3))


@dataclass(frozen=True)
class Gas:
    """Gas of registering the program, of one verification in a transaction of its own, and of the settlement."""

    register: int
    verify: int
    settle: int


@dataclass(frozen=True)
class Settler:
    """The contracts on a running chain, and accounts with ether there."""

    rpc: Rpc
    deployment: Deployment

    def settle(self, bundle: Bundle, commitment: int, prove: Callable[[int], Proved], salt: bytes) -> Gas:
        """Register the bundle's program, order a proof bound to the order, and have the Escrow pay for it.

        `prove` makes the proof for a binding.

        Raises:
            ContractRefusal: the contracts do not accept the program, the order or the proof.
        """
        manifest, contracts = bundle.manifest, self.deployment
        layout, setup = bytes.fromhex(manifest.layout), bytes.fromhex(manifest.setup_id)
        program = bindings.register_program(GROTH16_BN254, manifest.words, layout, setup, manifest.dev)
        registered = self.rpc.transact(_PUBLISHER, contracts.registry, program)
        network = Network(chain_id=contracts.chain_id, escrow=contracts.escrow)
        order = self._order(bytes.fromhex(manifest.program_id), commitment, salt)
        award = Award(
            order_hash=digest(network, order), bid_hash=ZERO_HASH, prover=_PROVER.address, payout=_PROVER.address,
            price=_PRICE, promise_at=order.promise_by, lock_by=order.promise_by,
        )  # fmt: skip
        proved = prove(market_binding(award.order_hash, award.payout, _PROVER.address))
        words = proved.public_inputs
        verify = bindings.verify(manifest.words, words, proved.proof)
        verified = self.rpc.transact(_PROVER, contracts.verifier, verify)
        signature = _CLIENT.sign(network, award)
        settlement = Settlement(order, award, signature, proved.proof, words[1:-1], _PROVER.address)
        before = self._balance()
        settled = self.rpc.transact(_PROVER, contracts.escrow, bindings.settle(settlement))
        if self._balance() - before != _PRICE + _FEE:
            raise RuntimeError("The Escrow did not pay what the order promised.")
        return Gas(*(int(each["gasUsed"], 16) for each in (registered, verified, settled)))

    def _balance(self) -> int:
        view = bindings.balance_of(_PROVER.address)
        return bindings.decode_number(self.rpc.eth_call(self.deployment.escrow, view))

    def _order(self, program: bytes, commitment: int, salt: bytes) -> Order:
        latest: dict[str, Any] = self.rpc.call("eth_getBlockByNumber", "latest", False)
        now = int(latest["timestamp"], 16)
        return Order(
            client=_CLIENT.address, program_id=program, input_commitment=commitment, price_cap=_PRICE,
            verifier_fee=_FEE, collateral=_COLLATERAL, promise_by=now + _PROMISE_S, final_by=now + _FINAL_S, salt=salt,
        )  # fmt: skip


def open_market(url: str) -> Settler:
    """Deploy the contracts to anvil at `url`, give the accounts ether, and deposit the client's."""
    rpc = Rpc(url)
    for each in (_PUBLISHER, _CLIENT, _PROVER):
        rpc.call("anvil_setBalance", "0x" + each.address.hex(), hex(100 * _ETHER))
    deployment = deploy(url, _PUBLISHER, Terms(allow_dev=True))
    rpc.transact(_CLIENT, deployment.escrow, bindings.deposit(), _ETHER)
    return Settler(rpc, deployment)
