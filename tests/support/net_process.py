# SPDX-License-Identifier: GPL-3.0-or-later
"""A transport in a process of its own: `python -m net_process <key file folder> <address file> [port]`.

It echoes, gossips back what it hears on the topic `said` as `heard`, is a relay, and serves until it is killed.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import structlog
import trio

from node.net import Transport, Verdict, load_or_create

ECHO = "/test/1/echo"


async def serve(folder: Path, address_file: Path, port: str) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    node = Transport(
        load_or_create(folder),
        [f"/ip4/127.0.0.1/tcp/{port}"],
        (),
        "test",
        address_file=address_file,
        serves_as_relay=True,
    )

    async def echo(peer: str, payload: bytes) -> bytes:
        return b"echo " + payload

    async def repeat(data: bytes, peer: str) -> None:
        await node.publish("heard", data)

    node.add_handler(ECHO, echo, max_request=1000)
    await node.subscribe("said", lambda data, peer: Verdict.ACCEPT, repeat)
    await node.run()


if __name__ == "__main__":
    trio.run(serve, Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "0")
