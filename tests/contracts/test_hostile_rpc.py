# SPDX-License-Identifier: GPL-3.0-or-later
"""What an RPC answers while contracts are deployed or models published: bytes of strangers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from contracts.rpc import Rpc
from protocol.errors import RpcMalformedError


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """Serve one and the same answer to everything; yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b"7", b"\xff", b'{"jsonrpc":"2.0"}', b'{"result":' + b"[" * 200_000 + b"]" * 200_000 + b"}"],
    ids=["nothing", "cut", "list", "number", "no text", "no result", "nests without end"],
)
def test_an_answer_that_is_none_is_one_clear_error(body: bytes) -> None:
    with answering(body) as url, Rpc(url) as rpc, pytest.raises(RpcMalformedError):
        rpc.call("eth_chainId")
