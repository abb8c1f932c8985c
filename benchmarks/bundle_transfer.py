# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a bundle moves between processes, beside a plain copy of the same bytes over the same transport.

`python -m benchmarks.bundle_transfer [--megabytes 256] [--sources 3] [--repeat 3]` writes
build/bundle_transfer.json and docs/benchmarks/bundles.md. The plain copy asks once and reads frames of 1 MiB until it
has all of them, into a file; nothing is hashed. Each source is a process with one host; all share this machine's cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import structlog
import trio

from node.net import BundleServer, Transport, load_or_create, pull
from node.net.channel import Channel
from node.net.identity import fresh
from protocol.chunks import CHUNK_BYTES, root_of

ROOT = Path(__file__).resolve().parents[1]
LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]
PLAIN = "/benchmark/1/plain"
FILE = "proving.key"
PAGE = ROOT / "docs" / "benchmarks" / "bundles.md"


def files_of(manifest: bytes) -> list[tuple[str, str, str, int]]:
    return [tuple(json.loads(manifest))]


def write_bundle(store: Path, size: int) -> bytes:
    """Write a bundle of one random file and return its id."""
    whole, hashes = hashlib.sha256(), []
    (store / "new").mkdir(parents=True)
    with (store / "new" / FILE).open("wb") as file:
        for _ in range(size // CHUNK_BYTES):
            data = os.urandom(CHUNK_BYTES)
            file.write(data)
            whole.update(data)
            hashes.append(hashlib.sha256(data).digest())
    manifest = json.dumps([FILE, whole.hexdigest(), root_of(b"".join(hashes)).hex(), size]).encode()
    (store / "new" / "manifest.json").write_bytes(manifest)
    bundle_id = hashlib.sha256(manifest).digest()
    (store / "new").rename(store / bundle_id.hex())
    return bundle_id


async def serve(store: Path, key_folder: Path) -> None:
    """What a source's process runs."""
    node = Transport(load_or_create(key_folder), LOOPBACK, (), "benchmark", address_file=key_folder / "address")
    BundleServer(node, store, files_of).start()

    async def plain(channel: Channel) -> None:
        bundle_id = await channel.receive(32)
        with (store / bundle_id.hex() / FILE).open("rb") as file:
            while data := file.read(CHUNK_BYTES):
                await channel.send(data)

    node.add_stream_handler(PLAIN, plain, 30.0)
    parent = os.getppid()
    async with node.running():
        while os.getppid() == parent:  # a killed benchmark leaves no source behind
            await trio.sleep(0.5)


async def copy_plain(node: Transport, source: str, bundle_id: bytes, size: int, target: Path) -> None:
    async with node.open_channel(source, PLAIN, 30.0) as channel:
        await channel.send(bundle_id)
        with target.open("wb") as file:
            while file.tell() < size:
                file.write(await channel.receive(CHUNK_BYTES))


async def measure(sources: list[str], bundle_id: bytes, size: int, folder: Path) -> dict[str, float]:
    """Return the seconds of one plain copy, and of one pull from 1, 2, ... sources; `cpu` ones of this process."""
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        start, cpu = time.perf_counter(), time.process_time()
        yield
        seconds[name], seconds[f"cpu {name}"] = time.perf_counter() - start, time.process_time() - cpu

    async with Transport(fresh(), LOOPBACK, (), "benchmark").running() as node:
        for source in sources:
            await node.connect(source)
        with timed("plain"):
            await copy_plain(node, sources[0], bundle_id, size, folder / "plain")
        for count in range(1, len(sources) + 1):
            with timed(str(count)):
                await pull(node, bundle_id, sources[:count], folder / str(count), files_of)
    return seconds


@contextmanager
def source_processes(store: Path, folder: Path, count: int) -> Iterator[list[str]]:
    processes, addresses = [], []
    for number in range(count):
        key_folder = folder / f"source-{number}"
        key_folder.mkdir()
        command = [sys.executable, "-m", "benchmarks.bundle_transfer", "--serve", str(store), str(key_folder)]
        processes.append(subprocess.Popen(command, cwd=ROOT))
    try:
        for number in range(count):
            address = folder / f"source-{number}" / "address"
            while not address.exists():
                time.sleep(0.05)
            addresses.append(address.read_text().strip())
        yield addresses
    finally:
        for process in processes:
            process.kill()
            process.wait()


def run(megabytes: int, sources: int, repeat: int) -> dict[str, Any]:
    """Measure; every figure is the median of `repeat` runs."""
    size, runs, load = megabytes * CHUNK_BYTES, [], round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory(prefix="proofmesh-transfer-") as name:
        folder = Path(name)
        bundle_id = write_bundle(folder / "store", size)
        with source_processes(folder / "store", folder, sources) as addresses:
            for number in range(repeat):
                with tempfile.TemporaryDirectory(dir=folder) as target:
                    runs.append(trio.run(measure, addresses, bundle_id, size, Path(target)))
                print(f"run {number + 1}: {runs[-1]}", file=sys.stderr)
    ways = ["plain", *map(str, range(1, sources + 1))]
    rates = {way: megabytes / median(each[way] for each in runs) for way in ways}
    cpu = {way: 1000 * median(each[f"cpu {way}"] for each in runs) / megabytes for way in ways}
    ratios = {way: median(each["plain"] / each[way] for each in runs) for way in ways[1:]}
    return {
        "machine": f"{os.cpu_count()} cores ({platform.machine()}, Python {platform.python_version()})",
        "load_before": load,
        "megabytes": megabytes,
        "runs": repeat,
        "mb_per_second": {key: round(rate, 1) for key, rate in rates.items()},
        "cpu_ms_per_mb": {key: round(used, 1) for key, used in cpu.items()},
        "ratio_to_plain": {key: round(ratio, 2) for key, ratio in ratios.items()},
    }


def page(result: dict[str, Any]) -> str:
    rates, cpu, ratios = result["mb_per_second"], result["cpu_ms_per_mb"], result["ratio_to_plain"]
    rows = [f"| plain copy, nothing checked | {rates['plain']} | 1 | {cpu['plain']} |"]
    rows += [f"| bundle, sources: {way} | {rates[way]} | {ratios[way]} | {cpu[way]} |" for way in ratios]
    return f"""# Bundles between peers

Written by `python -m benchmarks.bundle_transfer`; do not edit. A bundle of {result["megabytes"]} MiB between processes
over loopback, medians of {result["runs"]} runs, {result["machine"]}, load average {result["load_before"]} before
(above the number of cores, the rates say little and the ratios more). The plain copy streams the same bytes in frames
of 1 MiB over the same transport and hashes nothing. Noise and Yamux in Python bound both: with several sources the
fetching process, one core, is the bound, and sources on the same machine compete with it.

| | MiB/s | ratio to plain | CPU ms of the fetching process per MiB |
| --- | --- | --- | --- |
{chr(10).join(rows)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--serve", nargs=2, type=Path, metavar=("STORE", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--sources", type=int, default=3, help="measure 1, 2, ... up to so many sources")
    parser.add_argument("--repeat", type=int, default=3)
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if chosen.serve:
        trio.run(serve, *chosen.serve)
        return
    result = run(chosen.megabytes, chosen.sources, chosen.repeat)
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "bundle_transfer.json").write_text(json.dumps(result, indent=2) + "\n")
    PAGE.write_text(page(result))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
