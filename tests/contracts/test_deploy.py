# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploying to real chains: the same addresses everywhere, once, and never onto what cannot be trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from anvil import anvil
from escrow_market import ETHER, account
from eth_account import Account as EthAccount

from contracts import bindings
from contracts.abi import CONTRACTS, artifact
from contracts.deploy import carry_out, code_at, deploy, first_block, survey
from contracts.deployment import (
    FACTORY,
    FACTORY_SIGNER,
    FACTORY_TRANSACTION,
    Deployment,
    Terms,
    immutables,
    parse_deployment,
    plan,
)
from contracts.inspection import inspect
from contracts.rpc import Rpc
from protocol.errors import (
    DeployedCodeError,
    DeploymentError,
    DeploymentFileError,
    InsufficientFundsError,
    RpcDownError,
    UnsuitableChainError,
    WrongChainError,
)
from protocol.structs import Network

DEPLOYER = account("deployer")
TERMS = Terms(allow_dev=True, withdrawal_delay_seconds=77)


@contextmanager
def chain(chain_id: int = 4242, *, ether: int = 1, arguments: tuple[str, ...] = ()) -> Iterator[tuple[str, Rpc]]:
    with anvil(chain_id=chain_id, arguments=arguments) as url, Rpc(url) as rpc:
        rpc.call("anvil_setBalance", hexed(DEPLOYER.address), hex(ether * ETHER))
        yield url, rpc


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def sent(rpc: Rpc) -> int:
    return rpc.quantity("eth_getTransactionCount", hexed(DEPLOYER.address), "latest")


def network(found: Deployment) -> Network:
    return Network(chain_id=found.chain_id, escrow=found.escrow)


def wrong(rpc: Rpc, found: Deployment, **changes: Any) -> set[str]:
    """What an inspection finds wrong."""
    options: dict[str, Any] = {"network": network(found), "registry": found.registry, "deployment": found} | changes
    return {each.subject for each in inspect(rpc, **options) if not each.good}


def test_the_proxys_transaction_is_signed_by_nobody_and_creates_the_proxy() -> None:
    assert EthAccount.recover_transaction(FACTORY_TRANSACTION).lower() == hexed(FACTORY_SIGNER)


def test_addresses_are_the_same_on_every_chain_and_deploying_again_sends_nothing() -> None:
    with chain(4242) as (url, rpc), chain(4243) as (other_url, other):
        other.call("anvil_mine", hex(7))
        found, elsewhere = deploy(url, DEPLOYER, TERMS), deploy(other_url, DEPLOYER, TERMS)
        assert found.addresses == elsewhere.addresses == {each.name: each.address for each in plan(TERMS)}
        assert (found.block, elsewhere.block, sent(rpc)) == (1, 8, 4)
        assert found.code_hashes["Escrow"] != elsewhere.code_hashes["Escrow"], "the chain's id is in it"
        rpc.call("anvil_mine", hex(20))
        assert deploy(url, DEPLOYER, TERMS) == found and sent(rpc) == 4
        assert bindings.decode_number(rpc.eth_call(found.escrow, bindings.withdrawal_delay())) == 77
        assert bindings.decode_address(rpc.eth_call(found.escrow, bindings.registry())) == found.registry
        assert not wrong(rpc, found) and parse_deployment(found.to_json()) == found


def test_markets_of_other_terms_share_a_registry_and_those_of_another_salt_nothing() -> None:
    base, strict, apart = plan(TERMS), plan(Terms(withdrawal_delay_seconds=77)), plan(Terms(True, 77, bytes(32)))
    assert base[0].address == strict[0].address and base[2].address != strict[2].address
    assert not {each.address for each in base} & {each.address for each in apart}


def test_half_a_deployment_is_completed() -> None:
    with chain() as (url, rpc):
        registry = plan(TERMS)[0]
        rpc.transact(DEPLOYER, FACTORY, registry.call_data)
        rpc.call("anvil_mine", hex(5))
        looked = survey(rpc, DEPLOYER.address, TERMS)
        assert [each.name for each in looked.missing] == ["Groth16Verifier", "Escrow", "TokenDesk"]
        found = deploy(url, DEPLOYER, TERMS)
        assert found.block == 1 and sent(rpc) == 4 and not wrong(rpc, found)


def test_the_cost_that_is_told_is_what_is_spent() -> None:
    with chain() as (url, rpc):
        looked = survey(rpc, DEPLOYER.address, TERMS)
        deploy(url, DEPLOYER, TERMS)
        spent = ETHER - rpc.quantity("eth_getBalance", hexed(DEPLOYER.address), "latest")
        # The base fee falls a little from block to block.
        assert 0.75 * looked.cost_wei < spent < 1.1 * looked.cost_wei < looked.most_wei


def test_without_the_proxy_its_own_transaction_puts_it_there() -> None:
    with chain() as (url, rpc):
        rpc.call("anvil_setCode", hexed(FACTORY), "0x")
        assert not survey(rpc, DEPLOYER.address, TERMS).has_factory
        found = deploy(url, DEPLOYER, TERMS)
        assert not wrong(rpc, found)
        assert rpc.quantity("eth_getTransactionCount", hexed(FACTORY_SIGNER), "latest") == 1


def test_without_the_proxy_dear_gas_is_waited_out() -> None:
    with chain(ether=100) as (url, rpc):
        rpc.call("anvil_setCode", hexed(FACTORY), "0x")
        rpc.call("anvil_setNextBlockBaseFeePerGas", hex(200 * 10**9))
        rpc.call("anvil_mine", "0x1")
        with pytest.raises(DeploymentError, match="gas costs more"):
            deploy(url, DEPLOYER, TERMS)
        assert sent(rpc) == 0


def test_a_proxy_whose_transaction_failed_is_told_apart() -> None:
    with chain() as (url, rpc):
        rpc.call("anvil_setCode", hexed(FACTORY), "0x")
        rpc.call("anvil_setNonce", hexed(FACTORY_SIGNER), "0x1")
        with pytest.raises(DeploymentError, match="cannot be put there"):
            deploy(url, DEPLOYER, TERMS)


def test_too_little_money_is_noticed_before_anything_is_sent() -> None:
    with chain() as (_, rpc):
        looked = survey(rpc, DEPLOYER.address, TERMS)
        rpc.call("anvil_setBalance", hexed(DEPLOYER.address), hex(looked.most_wei - 1))
        with pytest.raises(InsufficientFundsError):
            carry_out(rpc, survey(rpc, DEPLOYER.address, TERMS), lambda *_: pytest.fail("sent"))


def test_other_code_at_an_address_is_refused_before_anything_is_sent() -> None:
    with chain() as (url, rpc):
        found = deploy(url, DEPLOYER, TERMS)
        code = bytearray(code_at(rpc, found.escrow))
        place = artifact("Escrow").immutables["allowDev"][0]
        for changed in (b"\x00", bytes(code[:-1]), flipped(code, 100), flipped(code, place + 31)):
            rpc.call("anvil_setCode", hexed(found.escrow), hexed(changed))
            with pytest.raises(DeployedCodeError):
                survey(rpc, DEPLOYER.address, TERMS)
            assert "Escrow" in wrong(rpc, found)
        rpc.call("anvil_setCode", hexed(FACTORY), "0x6001")
        rpc.call("anvil_setCode", hexed(found.escrow), hexed(bytes(code)))
        with pytest.raises(DeployedCodeError, match="proxy"):
            survey(rpc, DEPLOYER.address, TERMS)


def flipped(code: bytes | bytearray, place: int) -> bytes:
    changed = bytearray(code)
    changed[place] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(("hardfork", "lacking"), [("homestead", "BN254"), ("shanghai", "Cancun")])
def test_a_chain_that_cannot_run_the_contracts_is_refused(hardfork: str, lacking: str) -> None:
    with chain(arguments=("--hardfork", hardfork)) as (_, rpc):
        with pytest.raises(UnsuitableChainError, match=lacking):
            survey(rpc, DEPLOYER.address, TERMS)


def test_another_chain_and_an_rpc_that_is_down_are_named() -> None:
    with chain() as (_, rpc), pytest.raises(WrongChainError, match="4242, not 1"):
        survey(rpc, DEPLOYER.address, TERMS, chain_id=1)
    with pytest.raises(RpcDownError):
        deploy("http://127.0.0.1:1", DEPLOYER, TERMS)


def test_an_inspection_finds_each_difference() -> None:
    with chain() as (url, rpc):
        found = deploy(url, DEPLOYER, TERMS)
        other = account("other").address
        assert wrong(rpc, found, deployment=None) == set()
        elsewhere = Network(chain_id=found.chain_id, escrow=found.token_desk)
        assert wrong(rpc, found, network=elsewhere, deployment=None) == {"Escrow"}
        assert wrong(rpc, found, registry=other, deployment=None) == {"Registry", "Escrow.registry"}
        abroad = Network(chain_id=1, escrow=found.escrow)
        assert wrong(rpc, found, network=abroad, deployment=None) == {"chain", "Escrow.chainId", "Escrow.separator"}
        strict = changed(found, terms=Terms(False, 78, TERMS.salt))
        assert wrong(rpc, found, deployment=strict) == {"Escrow.allowDev", "Escrow.withdrawalDelay"}
        assert wrong(rpc, found, deployment=changed(found, escrow=other)) == {"deployment file"}
        assert wrong(rpc, found, deployment=changed(found, token_desk=other)) == {"TokenDesk"}
        hashes = {**found.code_hashes, "Registry": bytes(32)}
        assert wrong(rpc, found, deployment=changed(found, code_hashes=hashes)) == {"Registry"}


def changed(found: Deployment, **fields: Any) -> Deployment:
    return Deployment(**{**vars(found), **fields})


def test_what_every_immutable_must_be_is_known() -> None:
    for name in CONTRACTS:
        if name not in ("CreditGate", "EzklAdapter"):  # not part of a market: anyone deploys one of their own
            known = immutables(name, Network(chain_id=1, escrow=bytes(20)), bytes(20), TERMS)
            assert known.keys() == artifact(name).immutables.keys()


def test_the_first_block_is_early_rather_than_late_where_old_states_are_forgotten() -> None:
    with chain() as (url, rpc):
        rpc.call("anvil_mine", hex(9))
        found = deploy(url, DEPLOYER, TERMS)
        assert first_block(rpc, found.registry) == found.block == 10
        rpc.call("anvil_mine", hex(50))

        class Forgetful(Rpc):
            def call(self, method: str, *parameters: object) -> Any:
                if method == "eth_getCode" and parameters[1] != "latest" and int(str(parameters[1]), 16) < 9:
                    return super().call("no_such_method")
                return super().call(method, *parameters)

        with Forgetful(url) as forgetful:
            assert first_block(forgetful, found.registry) <= 10


FILE: dict[str, Any] = {
    "format": 1,
    "chain_id": 5,
    "start_block": 0,
    "allow_dev": False,
    "withdrawal_delay_seconds": 3600,
    "salt": "0x" + "11" * 32,
    "contracts": {
        name: {"address": "0x" + "22" * 20, "code_hash": "0x" + "33" * 32}
        for name in ("Registry", "Groth16Verifier", "Escrow", "TokenDesk")
    },
}


NO_CONTRACTS: list[Any] = [None, [], {}, {"Escrow": 1}]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "[" * 10_000,
        *(json.dumps(FILE | {"chain_id": value}) for value in (True, -1, 2**63, "5", 1.0, None)),
        *(json.dumps(FILE | {"allow_dev": value}) for value in (0, "true", None)),
        *(json.dumps(FILE | {"salt": value}) for value in ("0x", "11" * 32, "0x" + "11" * 33, 0, "0x" + "zz" * 32)),
        *(json.dumps(FILE | {"contracts": value}) for value in NO_CONTRACTS),
        json.dumps(FILE | {"format": 2}),
        *(json.dumps({key: FILE[key] for key in FILE if key != missing}) for missing in FILE),
    ],
)
def test_what_is_no_deployment_file_is_refused_in_words(text: str) -> None:
    assert parse_deployment(json.dumps(FILE)).chain_id == 5
    with pytest.raises(DeploymentFileError) as refused:
        parse_deployment(text)
    assert len(str(refused.value)) < 300
