# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles over real hosts: the bytes that were asked for, or an error; never a file that was not verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from net_peers import HANG_GUARD, still_serves, transport

from node.net import BundleServer, Transport, pull
from node.net.bundle_store import CHUNK_BYTES, BundleFile, chunk_hashes, keep_verified, read_files
from node.net.bundles import PROTOCOL
from node.net.identity import fresh
from protocol.errors import BundleRefusedError, BundleUnavailableError, Misbehaviour

CONTENT = {
    "proving.key": bytes(range(256)) * 10_000 + b"end",  # three chunks
    "circuit.r1cs": b"circuit" * 1000,
    "empty.txt": b"",
}


def files_of(manifest: bytes) -> Iterable[tuple[str, str, int]]:
    return [(entry["name"], entry["sha256"], entry["size"]) for entry in json.loads(manifest)["files"]]


def manifest_of(content: dict[str, bytes]) -> bytes:
    files = [
        {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in content.items()
    ]
    return json.dumps({"files": files}).encode()


def write_bundle(store: Path, content: dict[str, bytes], manifest: bytes | None = None) -> bytes:
    manifest = manifest or manifest_of(content)
    bundle_id = hashlib.sha256(manifest).digest()
    folder = store / bundle_id.hex()
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(manifest)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return bundle_id


def serve(node: Transport, store: Path) -> str:
    BundleServer(node, store, files_of).start()
    return node.addresses[0]


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def score(node: Transport, peer: str) -> float:
    return next((snapshot.score for snapshot in node.peers() if snapshot.peer == peer), 0.0)


@pytest.fixture
def bundle_id(tmp_path: Path) -> bytes:
    return write_bundle(tmp_path / "store", CONTENT)


async def test_a_bundle_arrives_whole_with_progress(tmp_path: Path, bundle_id: bytes) -> None:
    steps: list[tuple[str, int, int]] = []
    async with transport() as server, transport() as client:
        source = serve(server, tmp_path / "store")
        folder = await pull(
            client,
            bundle_id,
            [source],
            tmp_path / "got",
            files_of,
            progress=lambda *step: steps.append(step),
        )
    assert content_of(folder) == CONTENT | {"manifest.json": manifest_of(CONTENT)}
    size = len(CONTENT["proving.key"])
    assert steps[:3] == [("proving.key", min(size, n * CHUNK_BYTES), size) for n in (1, 2, 3)]


@pytest.mark.parametrize("position", [0, CHUNK_BYTES + 5, len(CONTENT["proving.key"]) - 1])
async def test_one_flipped_bit_is_found_and_another_source_is_asked(
    tmp_path: Path, bundle_id: bytes, position: int
) -> None:
    damaged = bytearray(CONTENT["proving.key"])
    damaged[position] ^= 1
    write_bundle(tmp_path / "bad", CONTENT | {"proving.key": bytes(damaged)}, manifest_of(CONTENT))
    async with transport() as liar, transport() as honest, transport() as client:
        sources = [serve(liar, tmp_path / "bad"), serve(honest, tmp_path / "store")]
        folder = await pull(client, bundle_id, sources, tmp_path / "got", files_of)
        assert score(client, liar.peer_id) <= -49 and score(client, honest.peer_id) == 0
    assert content_of(folder)["proving.key"] == CONTENT["proving.key"]


async def test_with_only_a_liar_nothing_false_is_left(tmp_path: Path, bundle_id: bytes) -> None:
    damaged = CONTENT["circuit.r1cs"][:-1] + b"?"
    write_bundle(tmp_path / "bad", CONTENT | {"circuit.r1cs": damaged}, manifest_of(CONTENT))
    async with transport() as liar, transport() as client:
        with pytest.raises(BundleUnavailableError, match="does not have the hash"):
            await pull(client, bundle_id, [serve(liar, tmp_path / "bad")], tmp_path / "got", files_of)
    left = content_of(tmp_path / "got" / bundle_id.hex())
    assert set(left) == {"proving.key"} and left["proving.key"] == CONTENT["proving.key"]


async def test_another_manifest_is_a_lie(tmp_path: Path, bundle_id: bytes) -> None:
    (tmp_path / "store" / bundle_id.hex() / "manifest.json").write_bytes(manifest_of({"x": b""}))
    async with transport() as liar, transport() as client:
        with pytest.raises(BundleUnavailableError, match="not the one asked for"):
            await pull(client, bundle_id, [serve(liar, tmp_path / "store")], tmp_path / "got", files_of)
        assert score(client, liar.peer_id) <= -49


async def test_an_interrupted_pull_goes_on_where_it_stopped(tmp_path: Path, bundle_id: bytes) -> None:
    steps: list[int] = []
    async with transport() as server, transport() as client:
        source = serve(server, tmp_path / "store")
        with trio.CancelScope() as scope:

            def stop_after_two(name: str, done: int, size: int) -> None:
                if done == 2 * CHUNK_BYTES:
                    scope.cancel()

            await pull(client, bundle_id, [source], tmp_path / "got", files_of, progress=stop_after_two)
        assert scope.cancelled_caught
        part = tmp_path / "got" / bundle_id.hex() / "proving.key.part"
        part.write_bytes(part.read_bytes()[: 2 * CHUNK_BYTES] + b"torn")
        folder = await pull(
            client,
            bundle_id,
            [source],
            tmp_path / "got",
            files_of,
            progress=lambda name, done, size: steps.append(done),
        )
    assert steps[0] == len(CONTENT["proving.key"])
    assert content_of(folder) == CONTENT | {"manifest.json": manifest_of(CONTENT)}


async def test_dead_and_empty_sources_are_passed_over(tmp_path: Path, bundle_id: bytes) -> None:
    async with transport() as empty, transport() as honest, transport() as client:
        dead = f"/ip4/127.0.0.1/tcp/1/p2p/{fresh().peer_id}"
        sources = [dead, serve(empty, tmp_path / "empty"), serve(honest, tmp_path / "store")]
        await pull(client, bundle_id, sources, tmp_path / "got", files_of)
        assert score(client, empty.peer_id) == 0
        with pytest.raises(BundleUnavailableError, match="could not be fetched"):
            await pull(client, bytes(32), sources, tmp_path / "got", files_of)


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/passwd", "a/b", "..", ".hidden", "", "x" * 200, "nul\0", "manifest.json", "a\n"],
)
async def test_unsafe_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleRefusedError):
        read_files(manifest_of({name: b""}), files_of, 1000)


@pytest.mark.parametrize(
    "entries",
    [
        [("a", "00" * 31, 0)],
        [("a", "00" * 32, -1)],
        [("a", "00" * 32, 1001)],
        [("a", "00" * 32, 600), ("b", "00" * 32, 600)],
        [("a", "00" * 32, 0), ("A", "00" * 32, 0)],
        [(f"f{n}", "00" * 32, 0) for n in range(300)],
        [("a", "no hex", 0)],
        [("a",)],
    ],
)
def test_unacceptable_manifests_are_refused(entries: Any) -> None:
    with pytest.raises(BundleRefusedError):
        read_files(b"", lambda manifest: entries, 1000)


async def test_a_bundle_over_the_callers_limit_is_refused_and_nothing_is_fetched(
    tmp_path: Path, bundle_id: bytes
) -> None:
    async with transport() as server, transport() as client:
        with pytest.raises(BundleRefusedError, match="limit"):
            await pull(
                client,
                bundle_id,
                [serve(server, tmp_path / "store")],
                tmp_path / "got",
                files_of,
                max_bytes=99,
            )
    assert content_of(tmp_path / "got" / bundle_id.hex()) == {}


async def test_the_server_gives_nothing_from_outside_its_store(tmp_path: Path) -> None:
    secret = b"outside"
    (tmp_path / "secret").write_bytes(secret)
    linked = write_bundle(tmp_path / "store", {}, manifest_of({"link": secret}))
    (tmp_path / "store" / linked.hex() / "link").symlink_to(tmp_path / "secret")
    climbing = write_bundle(tmp_path / "store", {}, manifest_of({"../../secret": secret}))
    async with transport() as server, transport() as client:
        source = serve(server, tmp_path / "store")
        for bundle, wanted in ((linked, b"\0"), (climbing, None)):
            digest = hashlib.sha256(secret).digest()
            for request in (b"L" + bundle + digest, b"C" + bundle + digest + bytes(4)):
                try:
                    assert await client.request(source, PROTOCOL, request, 1000) == wanted
                except AssertionError:
                    raise
                except Exception as error:
                    assert wanted is None, error
        await still_serves(server)


@given(st.binary(max_size=70))
def test_any_request_of_no_known_form_is_misbehaviour(request: bytes) -> None:
    class NoTransport:
        pass

    async def run() -> None:
        server = BundleServer(NoTransport(), Path("/nowhere"), files_of)  # type: ignore[arg-type]
        try:
            assert await server._answer(request) is None
        except Misbehaviour:
            return
        assert request[:1] in (b"M", b"L", b"C")

    trio.run(run)


@given(st.binary(max_size=64), st.integers(0, 3))
def test_only_leading_chunks_that_agree_are_kept(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, good: int
) -> None:
    folder = tmp_path_factory.mktemp("part")
    data = CONTENT["proving.key"]
    file = BundleFile("proving.key", hashlib.sha256(data).digest(), len(data))
    (folder / file.name).write_bytes(data)
    hashes = chunk_hashes(folder, file)
    assert hashes is not None
    part = folder / "part"
    part.write_bytes(data[: good * CHUNK_BYTES] + tail)
    kept = keep_verified(part, file, hashes)
    assert kept >= good
    assert part.read_bytes() == data[: kept * CHUNK_BYTES]


async def test_a_source_that_dies_in_the_middle_is_replaced(tmp_path: Path, bundle_id: bytes) -> None:
    async with transport() as honest, transport() as client, trio.open_nursery() as nursery:
        dying = transport()
        server = await dying.__aenter__()
        sources = [serve(server, tmp_path / "store"), serve(honest, tmp_path / "store")]

        def kill_after_one(name: str, done: int, size: int) -> None:
            if done == CHUNK_BYTES and server._live is not None:
                server._live.hang_up_soon(client.peer_id)

        with trio.fail_after(HANG_GUARD):
            folder = await pull(
                client, bundle_id, sources, tmp_path / "got", files_of, progress=kill_after_one
            )
        await dying.__aexit__(None, None, None)
        nursery.cancel_scope.cancel()
    assert content_of(folder) == CONTENT | {"manifest.json": manifest_of(CONTENT)}
