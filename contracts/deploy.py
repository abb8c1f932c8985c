# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the contracts of a market on a chain, from the committed bytecode; `contracts.deployment` says where they go.

`survey` looks and changes nothing; `carry_out` sends what is missing. Deploying again finds what is there, also
half of it. The contracts have no owner: who deploys them has no more rights in them than anyone else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contracts.chain_features import require_features
from contracts.deployment import (
    FACTORY,
    FACTORY_CODE_HASH,
    FACTORY_GAS_PRICE_WEI,
    FACTORY_PRICE_WEI,
    FACTORY_SIGNER,
    FACTORY_TRANSACTION,
    Deployment,
    Planned,
    Terms,
    immutables,
    plan,
    read_immutables,
)
from contracts.directory import CREATION, DIRECTORY
from contracts.rpc import Rpc
from protocol.errors import (
    ChainError,
    DeployedCodeError,
    DeploymentError,
    InsufficientFundsError,
    RevertedError,
    RpcRefusedError,
    WrongChainError,
)
from protocol.hashing import keccak256
from protocol.signing import Account
from protocol.structs import Network

Send = Callable[[str, bytes, bytes, int], object]
"""Sends a transaction (what for, to, data, value) and waits until it is in a block."""

_BY_FACTORY_GAS = 25_000
"""What creating by the proxy costs beyond creating by a transaction, at most: hashing and copying the code."""


@dataclass(frozen=True)
class Survey:
    """What is on a chain already, and what the rest would cost."""

    chain_id: int
    terms: Terms
    contracts: tuple[Planned, ...]
    present: frozenset[str]
    """Names of the contracts that are there, with the right code."""
    has_factory: bool
    gas: int
    gas_price_wei: int
    """What a unit of gas costs now, tip included."""
    fee_cap_wei: int
    """What a unit of gas may cost when the transactions are sent."""
    balance_wei: int
    """What the deploying account has."""

    @property
    def missing(self) -> tuple[Planned, ...]:
        """What is to be deployed."""
        return tuple(each for each in self.contracts if each.name not in self.present)

    @property
    def cost_wei(self) -> int:
        """What deploying would cost at the price of now."""
        return self.gas * self.gas_price_wei + self._factory_wei

    @property
    def most_wei(self) -> int:
        """What the account must have: gas limits leave a quarter of room and the price may double; what is not
        used is not charged."""
        return self.gas * 5 // 4 * self.fee_cap_wei + self._factory_wei

    @property
    def _factory_wei(self) -> int:
        return 0 if self.has_factory or not self.missing else FACTORY_PRICE_WEI


def survey(rpc: Rpc, deployer: bytes, terms: Terms, chain_id: int | None = None) -> Survey:
    """Look what deploying would do; sends nothing.

    Raises:
        WrongChainError: the RPC serves another chain than `chain_id`.
        UnsuitableChainError: the contracts cannot run there.
        DeployedCodeError: there is other code at one of the addresses.
        ChainError: the RPC cannot be used.
    """
    found = rpc.quantity("eth_chainId")
    if chain_id is not None and found != chain_id:
        raise WrongChainError(f"The RPC serves chain {found}, not {chain_id}.")
    require_features(rpc)
    try:
        return _survey(rpc, deployer, terms, found)
    except (RevertedError, RpcRefusedError):
        # What was missing may have been mined before its gas was estimated: the proxy creates nothing twice.
        return _survey(rpc, deployer, terms, found)


def _survey(rpc: Rpc, deployer: bytes, terms: Terms, found: int) -> Survey:
    contracts = plan(terms)
    network = Network(chain_id=found, escrow=contracts[2].address)
    present = frozenset(each.name for each in contracts if _is_there(rpc, each, network, contracts[0].address, terms))
    has_factory = _has_factory(rpc)
    gas = sum(_gas(rpc, deployer, each, has_factory) for each in contracts if each.name not in present)
    base_fee = int(rpc.call("eth_getBlockByNumber", "latest", False).get("baseFeePerGas", "0x0"), 16)
    tip = rpc.quantity("eth_maxPriorityFeePerGas")
    return Survey(
        found,
        terms,
        contracts,
        present,
        has_factory,
        gas,
        base_fee + tip,
        2 * base_fee + tip,
        rpc.quantity("eth_getBalance", _hex(deployer), "latest"),
    )


def carry_out(rpc: Rpc, found: Survey, send: Send) -> Deployment:
    """Deploy what a survey found missing, and return where everything is.

    Raises:
        InsufficientFundsError: the account cannot pay for all of it; nothing was sent.
        DeploymentError: the chain did not do it.
    """
    if found.missing and found.balance_wei < found.most_wei:
        raise InsufficientFundsError(
            f"The account has {found.balance_wei} wei; deploying may need {found.most_wei} (and about {found.cost_wei}"
            " is spent)."
        )
    if found.missing and not found.has_factory:
        _put_factory(rpc, send)
    registry, verifier, escrow, desk = found.contracts
    network = Network(chain_id=found.chain_id, escrow=escrow.address)

    def there(each: Planned) -> bool:
        return _is_there(rpc, each, network, registry.address, found.terms)

    for each in found.missing:
        try:
            send(each.name, FACTORY, each.call_data, 0)
        except RevertedError:
            if not there(each):  # nobody else was faster
                raise
    for each in found.contracts:
        if not there(each):
            raise DeploymentError(f"There is no code at {_hex(each.address)} after the deployment of {each.name}.")
    return Deployment(
        found.chain_id,
        registry.address,
        verifier.address,
        escrow.address,
        desk.address,
        first_block(rpc, registry.address),
        found.terms,
        {each.name: keccak256(code_at(rpc, each.address)) for each in found.contracts},
    )


def put_directory(rpc: Rpc, send: Send) -> bool:
    """Deploy the directory of peers, which belongs to no market; return whether anything was sent.

    Raises:
        DeploymentError: the proxy is not on this chain: deploy a market first.
    """
    if code_at(rpc, DIRECTORY):
        return False
    if not _has_factory(rpc):
        raise DeploymentError("The deterministic-deployment proxy is not on this chain.")
    send("PeerDirectory", FACTORY, CREATION, 0)
    return True


def deploy(rpc_url: str, account: Account, terms: Terms) -> Deployment:
    """Deploy with an account's key at hand, as development chains and tests do; errors as in `survey` and
    `carry_out`."""
    with Rpc(rpc_url) as rpc:

        def send(what: str, to: bytes, data: bytes, value: int) -> object:
            return rpc.transact(account, to, data, value)

        return carry_out(rpc, survey(rpc, account.address, terms), send)


def code_at(rpc: Rpc, address: bytes, block: str = "latest") -> bytes:
    """Return the code of an account; empty for one that is no contract."""
    return rpc.data("eth_getCode", _hex(address), block)


def first_block(rpc: Rpc, address: bytes) -> int:
    """Return the block in which a contract was created, or an earlier one if the RPC forgets old states."""
    without, having = -1, rpc.quantity("eth_blockNumber")
    while having - without > 1:
        middle = (without + having) // 2
        try:
            found = bool(code_at(rpc, address, hex(middle)))
        except ChainError:
            break
        without, having = (without, middle) if found else (middle, having)
    return without + 1


def _is_there(rpc: Rpc, each: Planned, network: Network, registry: bytes, terms: Terms) -> bool:
    code = code_at(rpc, each.address)
    if code and read_immutables(each.name, code) != immutables(each.name, network, registry, terms):
        raise DeployedCodeError(f"The code at {_hex(each.address)} is not that of {each.name}.")
    return bool(code)


def _has_factory(rpc: Rpc) -> bool:
    code = code_at(rpc, FACTORY)
    if code and keccak256(code) != FACTORY_CODE_HASH:
        raise DeployedCodeError(f"The code at {_hex(FACTORY)} is not that of the deterministic-deployment proxy.")
    return bool(code)


def _gas(rpc: Rpc, deployer: bytes, each: Planned, has_factory: bool) -> int:
    request = {"from": _hex(deployer), "data": _hex(each.call_data if has_factory else each.creation)}
    if has_factory:
        request |= {"to": _hex(FACTORY)}
    # Not on the pending state: an earlier run's transaction may wait there, and nothing is created twice.
    gas = rpc.quantity("eth_estimateGas", request, "latest")
    return gas if has_factory else gas + _BY_FACTORY_GAS


def _put_factory(rpc: Rpc, send: Send) -> None:
    """Send the proxy's own transaction, which works on every chain that takes transactions without its id."""
    base_fee = int(rpc.call("eth_getBlockByNumber", "latest", False).get("baseFeePerGas", "0x0"), 16)
    if base_fee > FACTORY_GAS_PRICE_WEI:
        raise DeploymentError(
            "The deterministic-deployment proxy is not on this chain, and gas costs more than its transaction pays.",
            remedy="Try again when gas costs less than 100 gwei.",
        )
    held = rpc.quantity("eth_getBalance", _hex(FACTORY_SIGNER), "latest")
    if held < FACTORY_PRICE_WEI:
        send("proxy", FACTORY_SIGNER, b"", FACTORY_PRICE_WEI - held)
    try:
        rpc.receipt(rpc.call("eth_sendRawTransaction", _hex(FACTORY_TRANSACTION)))
    except RpcRefusedError as error:
        if _has_factory(rpc):  # somebody else was faster
            return
        raise DeploymentError(
            f"The deterministic-deployment proxy is not on this chain, and cannot be put there. {error.message}",
            remedy=f"Ask who runs the chain for the proxy at {_hex(FACTORY)}.",
        ) from None


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
