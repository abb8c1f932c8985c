# SPDX-License-Identifier: GPL-3.0-or-later
"""A private input is seen by its client and the prover it chose, and by no file, log, message or calldata."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from devnet_market import (
    HANG_GUARD,
    SECRET,
    account_of,
    bundle_folder,
    chain_of,
    client_of,
    names,
    request,
    settlements,
    until,
)
from devnet_thread import Market
from market_stranger import stranger

from market.effects import Report
from node.devnet.world import World
from node.private_input import PrivateInput
from protocol.codec import pack

pytestmark = pytest.mark.slow

PRIVATE = tuple(value + 1_000 for value in SECRET)
"""Numbers that no other test uses."""


def _forms(value: int) -> Iterator[bytes]:
    """A number as text, hexadecimal, msgpack and machine words of both orders."""
    yield str(value).encode()
    yield format(value, "x").encode()
    yield pack(value)
    # Eight bytes: four alone would turn up in keys by chance.
    yield value.to_bytes(8, "big")
    yield value.to_bytes(8, "little")


def _needles(more: tuple[int, ...] = ()) -> list[bytes]:
    return [form for value in PRIVATE for form in _forms(value)] + [
        form for value in more for form in (str(value).encode(), format(value, "x").encode(), value.to_bytes(32, "big"))
    ]


def _seen_in(data: bytes, needles: list[bytes]) -> bool:
    return any(needle in data for needle in needles)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


async def _private_job(world: World) -> None:
    vault_names: list[str] = []
    prover_vault = Path(world.devnet.node("prover-2").data_dir) / "vault"

    def heard(report: Report) -> None:
        if report.topic == "award-accepted":
            vault_names.extend(path.name for path in prover_vault.iterdir())

    async with stranger(world) as listener:
        async with client_of(world) as client:
            client.on_report = heard
            allowed = (account_of(world, "prover-2"),)
            order_hash = await client.submit(bundle_folder(world), PRIVATE, request(window=2, allowed=allowed))
            vault = client.node.context.vault
            opened = PrivateInput.from_bytes(vault.get(client.node.context.input_name(order_hash)))
            needles = _needles((opened.secrets.blinding, opened.secrets.output_key, opened.secrets.output))
            assert _seen_in(opened.to_bytes(), needles)  # the search would find it
            with trio.fail_after(HANG_GUARD):
                receipt = await client.wait(order_hash)
            await until(lambda: not [name for name in vault.names() if order_hash.hex() in name])
    assert any(order_hash.hex() in name for name in vault_names)
    await until(lambda: not [path for path in prover_vault.iterdir() if order_hash.hex() in path.name])
    assert listener.gossip
    assert not any(_seen_in(data, needles) for data in listener.gossip)
    for path in _files(world.plan.folder):
        assert not _seen_in(path.read_bytes(), needles), path.name
    await _nothing_on_chain(world, order_hash, receipt.transaction_hash, needles)


async def _nothing_on_chain(world: World, order_hash: bytes, transaction: bytes, needles: list[bytes]) -> None:
    async with chain_of(world) as chain:
        assert order_hash in await settlements(chain)
        found = await chain.client.rpc.call("eth_getTransactionByHash", "0x" + transaction.hex())
        receipt = await chain.client.rpc.call("eth_getTransactionReceipt", "0x" + transaction.hex())
    for data in (found["input"], *(entry["data"] for entry in receipt["logs"])):
        raw = bytes.fromhex(data[2:])
        assert len(raw) > 32 and not _seen_in(raw, needles)


def test_a_private_input_is_nowhere_after_its_job(market: Market) -> None:
    market.run(_private_job)


def test_every_node_was_searched(market: Market) -> None:
    world = market.world
    folder = world.plan.folder
    logs = {path.name for path in _files(folder) if path.suffix == ".log"}
    for role in ("prover", "verifier", "publisher"):
        for name in names(world, role):
            assert f"{name}.log" in logs
            assert (folder / "nodes" / name / "journal.sqlite").exists()
