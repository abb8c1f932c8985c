# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles over real hosts: the bytes that were asked for, or an error; never a file that was not verified."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from bundle_files import chunk_list, file_of, files_of, manifest_of, write_bundle
from hypothesis import given
from hypothesis import strategies as st
from net_peers import HANG_GUARD, still_serves, transport, until

from node.net import BundleServer, Transport, bundle_pull, bundles, pull
from node.net.bundle_store import chunk_hashes, missing_chunks, read_files
from node.net.bundles import PROTOCOL
from node.net.identity import fresh
from protocol.chunks import CHUNK_BYTES
from protocol.errors import BundleDiskError, BundleRefusedError, BundleUnavailableError, Misbehaviour

CONTENT = {
    "proving.key": bytes(range(256)) * 10_000 + b"end",  # three chunks
    "circuit.r1cs": b"circuit" * 1000,
    "empty.txt": b"",
}


def serve(node: Transport, store: Path) -> str:
    BundleServer(node, store, files_of).start()
    return node.addresses[0]


Change = Callable[[bytes, bytes | None], Awaitable[bytes | None]]
"""What becomes of a request's right answer."""


class Source(BundleServer):
    """A server that counts the chunks it was asked for, and may answer otherwise."""

    def __init__(self, node: Transport, store: Path, change: Change | None = None) -> None:
        super().__init__(node, store, files_of)
        self._change = change
        self.address = node.addresses[0]
        self.chunks: Counter[int] = Counter()
        self.start()

    async def _answer(self, request: bytes) -> bytes | None:
        answer = await super()._answer(request)
        if request[:1] == b"C":
            self.chunks[int.from_bytes(request[65:], "big")] += 1
        return answer if self._change is None else await self._change(request, answer)


async def lie(request: bytes, answer: bytes | None) -> bytes | None:
    """The right manifest, the right list, and false chunks."""
    return bytes(len(answer or b"")) if request[:1] == b"C" else answer


async def stall(request: bytes, answer: bytes | None) -> bytes | None:
    if request[:1] == b"C":
        await trio.sleep_forever()
    return answer


@pytest.fixture(scope="module")
def large() -> dict[str, bytes]:
    return {"proving.key": random.Random(1).randbytes(20 * CHUNK_BYTES + 7)}


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
        with pytest.raises(BundleUnavailableError, match="not that of the manifest"):
            await pull(client, bundle_id, [serve(liar, tmp_path / "bad")], tmp_path / "got", files_of)
    assert not (tmp_path / "got" / bundle_id.hex()).exists()


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
        [("a", "00" * 31, "00" * 32, 0)],
        [("a", "00" * 32, "00" * 33, 0)],
        [("a", "00" * 32, "00" * 32, -1)],
        [("a", "00" * 32, "00" * 32, 1001)],
        [("a", "00" * 32, "00" * 32, 600), ("b", "00" * 32, "00" * 32, 600)],
        [("a", "00" * 32, "00" * 32, 0), ("A", "00" * 32, "00" * 32, 0)],
        [(f"f{n}", "00" * 32, "00" * 32, 0) for n in range(300)],
        [("a", "no hex", "00" * 32, 0)],
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
    assert not (tmp_path / "got" / bundle_id.hex()).exists()


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


@given(st.binary(max_size=64), st.sets(st.integers(0, 2)), st.booleans())
def test_only_chunks_that_are_right_are_kept(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, good: set[int], longer: bool
) -> None:
    folder = tmp_path_factory.mktemp("part")
    data = CONTENT["proving.key"]
    file = file_of("proving.key", data)
    (folder / file.name).write_bytes(data)
    hashes = chunk_hashes(folder, file)
    assert hashes == chunk_list(data)
    part = folder / "part"
    with part.open("wb") as stream:
        for index in range(3):
            stream.seek(index * CHUNK_BYTES)
            stream.write(data[stream.tell() :][:CHUNK_BYTES] if index in good else junk)
        if longer:
            stream.write(bytes(2 * CHUNK_BYTES))
    assert set(missing_chunks(part, file, hashes)) == {0, 1, 2} - good
    assert part.stat().st_size == file.size


async def test_a_source_that_dies_in_the_middle_is_replaced(tmp_path: Path, bundle_id: bytes) -> None:
    async with transport() as honest, transport() as client, trio.open_nursery() as nursery:
        dying = transport()
        server = await dying.__aenter__()
        sources = [serve(server, tmp_path / "store"), serve(honest, tmp_path / "store")]

        def kill_after_one(name: str, done: int, size: int) -> None:
            if done == CHUNK_BYTES and server._live is not None:
                server._live.hang_up_soon(client.peer_id)

        with trio.fail_after(HANG_GUARD):
            folder = await pull(client, bundle_id, sources, tmp_path / "got", files_of, progress=kill_after_one)
        await dying.__aexit__(None, None, None)
        nursery.cancel_scope.cancel()
    assert content_of(folder) == CONTENT | {"manifest.json": manifest_of(CONTENT)}


async def test_several_sources_share_the_chunks(tmp_path: Path, large: dict[str, bytes]) -> None:
    bundle_id = write_bundle(tmp_path / "store", large)
    async with transport() as one, transport() as two, transport() as three, transport() as client:
        sources = [Source(node, tmp_path / "store") for node in (one, two, three)]
        addresses = [source.address for source in sources]
        folder = await pull(client, bundle_id, [*addresses, addresses[0]], tmp_path / "got", files_of)
    assert content_of(folder) == large | {"manifest.json": manifest_of(large)}
    assert all(source.chunks for source in sources)
    assert set().union(*(source.chunks for source in sources)) == set(range(21))


async def test_a_lying_source_costs_one_chunk_and_its_score(tmp_path: Path, large: dict[str, bytes]) -> None:
    bundle_id = write_bundle(tmp_path / "store", large)
    kept: list[int] = []
    async with transport() as liar, transport() as honest, transport() as client:
        sources = [Source(liar, tmp_path / "store", lie), Source(honest, tmp_path / "store")]
        with trio.fail_after(HANG_GUARD):
            folder = await pull(
                client,
                bundle_id,
                [source.address for source in sources],
                tmp_path / "got",
                files_of,
                progress=lambda name, done, size: kept.append(done),
            )
        assert -51 <= score(client, liar.peer_id) < -25 and score(client, honest.peer_id) == 0  # it is forgiven in time
    assert content_of(folder)["proving.key"] == large["proving.key"]
    assert sources[0].chunks.total() <= bundle_pull.PIECES_ON_THE_WAY
    assert len(kept) == 21  # no chunk that was kept had to be fetched again


async def test_what_a_stalled_source_sits_on_is_asked_of_another(tmp_path: Path, large: dict[str, bytes]) -> None:
    bundle_id = write_bundle(tmp_path / "store", large)
    async with transport() as stalled, transport() as honest, transport() as client:
        sources = [Source(stalled, tmp_path / "store", stall), Source(honest, tmp_path / "store")]
        with trio.fail_after(bundles.FRAME_SECONDS):  # before the stalled one is given up
            await pull(client, bundle_id, [source.address for source in sources], tmp_path / "got", files_of)
    assert sources[0].chunks and set(sources[1].chunks) == set(range(21))


async def test_chunks_that_are_not_the_file_are_the_publishers_fault(tmp_path: Path) -> None:
    manifest = manifest_of({"key": b"one"}).replace(hashlib.sha256(b"one").hexdigest().encode(), b"00" * 32)
    bundle_id = write_bundle(tmp_path / "store", {"key": b"one"}, manifest)
    async with transport() as server, transport() as client:
        with pytest.raises(BundleRefusedError, match="do not have its SHA-256"):
            await pull(client, bundle_id, [serve(server, tmp_path / "store")], tmp_path / "got", files_of)
        assert score(client, server.peer_id) == 0
    assert content_of(tmp_path / "got" / bundle_id.hex()) == {}


async def test_a_full_disk_is_said_and_what_was_fetched_is_kept(
    tmp_path: Path, bundle_id: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite
    written: list[int] = []

    def full_after_two(descriptor: int, data: bytes, at: int) -> int:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(at)
        return write(descriptor, data, at)

    async with transport() as server, transport() as client:
        source = serve(server, tmp_path / "store")
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full_after_two)
            with pytest.raises(BundleDiskError, match=r"the disk is full.*kept.*bundle_quota_bytes"):
                await pull(client, bundle_id, [source], tmp_path / "got", files_of)
        steps: list[tuple[str, int]] = []
        await pull(
            client, bundle_id, [source], tmp_path / "got", files_of, progress=lambda *step: steps.append(step[:2])
        )
    assert steps[0] == ("proving.key", len(CONTENT["proving.key"]))


async def test_no_room_is_found_out_before_a_chunk_is_fetched(tmp_path: Path, bundle_id: bytes) -> None:
    asked: list[int] = []

    async def make_room(needed: int) -> None:
        asked.append(needed)
        raise BundleDiskError("No room.")

    async with transport() as server, transport() as client:
        source = Source(server, tmp_path / "store")
        with pytest.raises(BundleDiskError, match="No room"):
            await pull(client, bundle_id, [source.address], tmp_path / "got", files_of, make_room=make_room)
    assert asked == [sum(map(len, CONTENT.values()))] and not source.chunks


async def test_a_killed_pull_is_taken_up_by_another_process(tmp_path: Path, large: dict[str, bytes]) -> None:
    bundle_id = write_bundle(tmp_path / "store", large)
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "tests" / "support")])}
    script = [sys.executable, "-m", "bundle_process"]
    (tmp_path / "key").mkdir()
    address = tmp_path / "address"
    arguments = map(str, (tmp_path / "store", tmp_path / "key", address))
    server = subprocess.Popen([*script, "serve", *arguments], env=environment)
    try:
        await until(address.exists)
        fetch = [*script, "pull", bundle_id.hex(), str(tmp_path / "got"), address.read_text().strip()]
        first = subprocess.Popen(fetch, env=environment, stdout=subprocess.PIPE)
        assert first.stdout is not None
        seen = [int(await trio.to_thread.run_sync(first.stdout.readline)) for _ in range(5)]
        first.kill()
        first.wait()
        part = tmp_path / "got" / bundle_id.hex() / "proving.key.part"
        size = len(large["proving.key"])
        left = missing_chunks(part, file_of("proving.key", large["proving.key"]), chunk_list(large["proving.key"]))
        assert seen[-1] < size and 0 < len(left) <= 16
        with part.open("r+b") as torn:
            torn.write(b"torn")  # the first chunk, which was there
        again = subprocess.run(fetch, env=environment, stdout=subprocess.PIPE, timeout=HANG_GUARD, check=True)
        assert len(again.stdout.split()) == len(left) + 1
    finally:
        server.kill()
        server.wait()
    assert content_of(tmp_path / "got" / bundle_id.hex()) == large | {"manifest.json": manifest_of(large)}
