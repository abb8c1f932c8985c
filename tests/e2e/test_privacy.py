# SPDX-License-Identifier: GPL-3.0-or-later
"""A private input is seen by its client and the prover it chose, and by no file, log, message, call or calldata."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

import pytest
import trio
from devnet_market import (
    HANG_GUARD,
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
from privacy_search import (
    Needles,
    Recording,
    chain_bytes,
    files,
    forms_of,
    forms_of_secrets,
    recorded,
    scratch_files,
    search,
)

from node.client_api import Client
from node.devnet.world import World
from node.private_input import PrivateInput

pytestmark = pytest.mark.slow

PRIVATE = tuple((1 << 29) + secrets.randbelow(1 << 29) for _ in range(4))
"""Numbers that nothing else on this machine has."""
CHOSEN = "prover-2"


async def _private_job(world: World) -> None:
    chosen = world.devnet.node(CHOSEN)
    vaults = [Path(chosen.data_dir) / "vault", Path(world.devnet.node("client").data_dir) / "vault"]
    during: list[str] = []
    async with stranger(world) as listener, client_of(world) as client, trio.open_nursery() as nursery:
        awarded = trio.Event()
        client.on_report = lambda report: awarded.set() if report.topic == "award-accepted" else None
        with recorded() as recording:
            order_hash, needles = await _submitted(client, world)

            async def search_during_the_job() -> None:
                await awarded.wait()
                during.extend(path.name for path in vaults[0].iterdir() if order_hash.hex() in path.name)
                during.extend(await trio.to_thread.run_sync(_in_files, world, vaults, needles))

            nursery.start_soon(search_during_the_job)
            with trio.fail_after(HANG_GUARD):
                await client.wait(order_hash)
        await until(lambda: not [path for vault in vaults for path in vault.iterdir() if order_hash.hex() in path.name])
    assert during and all(order_hash.hex() in name for name in during), during  # its vault had secrets, nothing else
    assert listener.gossip
    heard = [("gossip", data) for data in listener.gossip]
    assert search([*heard, *recording.places(), *scratch_files()], needles) == []
    assert _in_files(world, [], needles) == []
    _only_the_chosen_prover_got_the_sealed_input(recording, chosen.addresses[0].rpartition("/p2p/")[2])
    async with chain_of(world) as chain:
        assert order_hash in await settlements(chain)
        found = await chain_bytes(chain.client.rpc)
    assert len(found) > 10 and search(found, needles) == []
    _a_planted_leak_is_found(world, needles)


async def _submitted(client: Client, world: World) -> tuple[bytes, Needles]:
    allowed = (account_of(world, CHOSEN),)
    order_hash = await client.submit(bundle_folder(world), PRIVATE, request(window=2, allowed=allowed))
    context = client.node.context
    opened = PrivateInput.from_bytes(context.vault.get(context.input_name(order_hash)))
    needles = forms_of(PRIVATE) | forms_of_secrets(opened)
    found = search([("vault", opened.to_bytes())], needles)
    assert {f"vault: value {place}, msgpack" for place in range(4)} <= set(found)
    assert "vault: blinding, big-endian" in found
    return order_hash, needles


def _in_files(world: World, but: list[Path], needles: Needles) -> list[str]:
    return search(files(world.plan.folder, but), needles)


def _only_the_chosen_prover_got_the_sealed_input(recording: Recording, chosen: str) -> None:
    to = [peer for peer, frame in recording.frames if b"sealed_input" in frame]
    assert to and set(to) == {chosen}
    assert {peer for peer, _ in recording.frames} > {chosen}  # others were spoken to as well
    assert b"jsonrpc" in recording.wire  # what is asked of the chain was recorded too


def _a_planted_leak_is_found(world: World, needles: Needles) -> None:
    planted = Path(world.devnet.node("verifier-1").data_dir) / "planted"
    planted.write_bytes(b"something " + needles["value 2, float64 little-endian"] + b" more")
    try:
        assert _in_files(world, [], needles) == [f"{planted}: value 2, float64 little-endian"]
    finally:
        planted.unlink()


def test_a_private_input_is_nowhere_after_its_job(market: Market) -> None:
    market.run(_private_job)


def test_every_node_was_searched(market: Market) -> None:
    folder = market.world.plan.folder
    searched = {name for name, _ in files(folder)}
    for role in ("prover", "verifier", "publisher"):
        for name in names(market.world, role):
            assert str(folder / f"{name}.log") in searched
            assert str(folder / "nodes" / name / "journal.sqlite") in searched


@pytest.mark.parametrize("name", forms_of(PRIVATE))
def test_each_form_is_found_in_a_file(tmp_path: Path, name: str) -> None:
    needles = forms_of(PRIVATE)
    (tmp_path / "a.log").write_bytes(b"before" + needles[name] + b"after")
    assert f"{tmp_path / 'a.log'}: {name}" in search(files(tmp_path), needles)


def test_a_deleted_row_of_a_database_is_found(tmp_path: Path) -> None:
    needles = forms_of(PRIVATE)
    database = sqlite3.connect(tmp_path / "journal.sqlite")
    database.execute("PRAGMA secure_delete = OFF")  # some builds of SQLite overwrite what is deleted
    database.execute("CREATE TABLE event (body BLOB)")
    database.execute("INSERT INTO event VALUES (?)", (needles["value 0, msgpack"] * 1000,))
    database.commit()
    database.execute("DELETE FROM event")
    database.commit()
    database.close()
    assert search(files(tmp_path), needles) == [f"{tmp_path / 'journal.sqlite'}: value 0, msgpack"]


async def test_what_a_process_sends_in_the_clear_is_found() -> None:
    needles = forms_of(PRIVATE)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with recorded() as recording:
        stream = await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1])
        await stream.send_all(needles["value 3, hex"])
        await stream.aclose()
    for listener in listeners:
        await listener.aclose()
    assert search(recording.places(), needles) == ["wire: value 3, hex"]
