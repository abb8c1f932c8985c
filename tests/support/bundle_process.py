# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles between processes: `python -m bundle_process serve <store> <key folder> <address file>` until it is killed,
or `... pull <bundle id> <destination> <source>...`, which prints how many bytes of a file are there after each chunk.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import structlog
import trio
from bundle_files import files_of

from node.net import BundleServer, Transport, load_or_create, pull
from node.net.identity import fresh

LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]


async def serve(store: str, key_folder: str, address_file: str) -> None:
    node = Transport(load_or_create(Path(key_folder)), LOOPBACK, (), "test", address_file=Path(address_file))
    BundleServer(node, Path(store), files_of).start()
    await node.run()


async def fetch(bundle_id: str, destination: str, *sources: str) -> None:
    node = Transport(fresh(), LOOPBACK, (), "test")
    async with node.running():
        await pull(
            node,
            bytes.fromhex(bundle_id),
            sources,
            Path(destination),
            files_of,
            progress=lambda name, done, size: print(done, flush=True),
        )


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if sys.argv[1] == "serve":
        trio.run(serve, *sys.argv[2:])
    else:
        trio.run(fetch, *sys.argv[2:])
