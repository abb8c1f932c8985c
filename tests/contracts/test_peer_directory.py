# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of peers on a chain: who said what, and what a reader makes of it."""

from __future__ import annotations

import pytest
from anvil import anvil

from contracts.abi import call_data
from contracts.deploy import deploy, put_directory
from contracts.deployment import Terms
from contracts.directory import DIRECTORY, MAX_ADDRESSES, MAX_BYTES, addresses_in, announce
from contracts.events import Announced, decode_event
from contracts.rpc import Rpc
from protocol.errors import DeploymentError, RevertedError
from protocol.signing import Account

ESCROW = b"\xee" * 20
ADDRESS = "/ip4/192.0.2.7/tcp/4001/p2p/16Uiu2HAmQkbuGb3K3DmCyEDvKumSVCphVJCGPGHNoc4CobJbxfsC"


def test_an_account_says_in_its_own_name_where_it_is_and_no_more_than_fits() -> None:
    account = Account(b"\x07" * 32)
    with anvil(arguments=["--disable-default-create2-deployer"]) as url, Rpc(url) as rpc:
        rpc.call("anvil_setBalance", "0x" + account.address.hex(), hex(10**20))

        def send(what: str, to: bytes, data: bytes, value: int) -> object:
            return rpc.transact(account, to, data, value)

        with pytest.raises(DeploymentError):
            put_directory(rpc, send)
        deploy(url, account, Terms())
        assert put_directory(rpc, send) and not put_directory(rpc, send)
        receipt = rpc.transact(account, DIRECTORY, announce(ESCROW, [ADDRESS]))
        (entry,) = receipt["logs"]
        topics = [bytes.fromhex(topic[2:]) for topic in entry["topics"]]
        event = decode_event(topics, bytes.fromhex(entry["data"][2:]))
        assert event == Announced(ESCROW, account.address, ADDRESS.encode())
        assert int(receipt["gasUsed"], 16) < 40_000
        fits = call_data("PeerDirectory", "announce", ESCROW, bytes(MAX_BYTES))
        rpc.eth_call(DIRECTORY, fits)
        with pytest.raises(RevertedError):
            rpc.eth_call(DIRECTORY, call_data("PeerDirectory", "announce", ESCROW, bytes(MAX_BYTES + 1)))


def test_addresses_that_are_announced_are_read_back_as_far_as_they_fit() -> None:
    def announced(addresses: list[str]) -> tuple[str, ...]:
        # selector, escrow, offset, length, text
        data = announce(ESCROW, addresses)[4:]
        return addresses_in(data[96 : 96 + int.from_bytes(data[64:96])])

    assert announced([]) == ()
    assert announced([ADDRESS, "/dns4/prover.example/tcp/1"]) == (ADDRESS, "/dns4/prover.example/tcp/1")
    many = [f"{ADDRESS}{number}" for number in range(40)]
    assert announced(many) == tuple(many[:MAX_ADDRESSES])
    long = ["/dns4/" + "x" * 240 for _ in range(MAX_ADDRESSES)]
    assert announced(long) == tuple(long[:4])


@pytest.mark.parametrize("text", [b"\xff\xfe", b"\n\n", b"x" * 257, b"/ip4/1.2.3.4\x00", b"\x1b[31m", "ü".encode()])
def test_what_is_no_address_is_not_read(text: bytes) -> None:
    assert addresses_in(text) == ()
