# SPDX-License-Identifier: GPL-3.0-or-later
"""Every form in which a private input could lie somewhere, the search for them, and ears on what a process sends."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import trio

from node.net.channel import Channel
from node.private_input import PrivateInput
from protocol.codec import pack

Needles = dict[str, bytes]
"""What is looked for, by what it is."""


def forms_of(values: Sequence[int]) -> Needles:
    """Return the forms of an input's numbers; forms of four bytes two in a row alone, since chance has one too."""
    found: Needles = {}
    for place, value in enumerate(values):
        found |= {
            f"value {place}, decimal": str(value).encode(),
            # Eight digits alone are in some address, sooner or later.
            f"value {place}, hex": format(value, "#x").encode(),
            f"value {place}, hex of 8 bytes": format(value, "016x").encode(),
            f"value {place}, HEX of 8 bytes": format(value, "016X").encode(),
            f"value {place}, msgpack": pack(value),
            # A field element of 32 bytes begins or ends with these.
            f"value {place}, 8 bytes big-endian": value.to_bytes(8, "big"),
            f"value {place}, 8 bytes little-endian": value.to_bytes(8, "little"),
            f"value {place}, float64 big-endian": struct.pack(">d", value),
            f"value {place}, float64 little-endian": struct.pack("<d", value),
            f"value {place}, float as text": repr(float(value)).encode(),
        }
    for place, pair in enumerate(pairwise(values)):
        for name, code in (("int32", "2i"), ("float32", "2f")):
            found[f"values {place} and {place + 1}, {name} big-endian"] = struct.pack(">" + code, *pair)
            found[f"values {place} and {place + 1}, {name} little-endian"] = struct.pack("<" + code, *pair)
    bits = max(value.bit_length() for value in values)
    for order, row in (("first lowest", values), ("first highest", values[::-1])):
        packed = sum(value << bits * place for place, value in enumerate(row))
        found |= _number(f"packed, {order}", packed, -(-bits * len(values) // 8))
    return found


def forms_of_secrets(opened: PrivateInput) -> Needles:
    """Return the forms of what opens the commitments and the output."""
    secrets = opened.secrets
    named = {"blinding": secrets.blinding, "output key": secrets.output_key, "output": secrets.output}
    named |= {f"blinding of group {place}": value for place, value in enumerate(secrets.groups)}
    found: Needles = {}
    for name, value in named.items():
        if value:
            found |= _number(name, value, 31)
    return found


def _number(name: str, value: int, size: int) -> Needles:
    size = max(size, (value.bit_length() + 7) // 8)
    return {
        f"{name}, decimal": str(value).encode(),
        f"{name}, hex": format(value, "x").encode(),
        f"{name}, big-endian": value.to_bytes(size, "big"),
        f"{name}, little-endian": value.to_bytes(size, "little"),
    }


def search(places: Iterable[tuple[str, bytes]], needles: Needles) -> list[str]:
    """Return where which needle is, in words."""
    return [f"{where}: {name}" for where, data in places for name, needle in needles.items() if needle in data]


def files(folder: Path, but: Sequence[Path] = ()) -> Iterator[tuple[str, bytes]]:
    """Yield every file below a folder: a database with its free pages and its log, a log, a bundle, a secret."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or any(path.is_relative_to(each) for each in but):
            continue
        try:
            if path.is_file():
                yield str(path), path.read_bytes()
        except OSError:  # gone meanwhile
            continue


def scratch_files() -> Iterator[tuple[str, bytes]]:
    """Yield what this program's processes have in the system's temporary folder now."""
    for folder in Path(tempfile.gettempdir()).glob("proofmesh-*"):
        yield from files(folder)


async def chain_bytes(rpc: Any) -> list[tuple[str, bytes]]:
    """Return the input of every transaction of the chain, and the data of every log."""
    found = []
    for number in range(int(await rpc.call("eth_blockNumber"), 16) + 1):
        block = await rpc.call("eth_getBlockByNumber", hex(number), True)
        found += [(f"transaction {each['hash']}", _bytes(each["input"])) for each in block["transactions"]]
    logs = await rpc.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    found += [(f"log of {each['transactionHash']}", _bytes("".join(each["topics"]) + each["data"])) for each in logs]
    return found


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("0x", ""))


class Recording:
    """What this process sent while it was recorded: frames by peer, before they are encrypted, and all bytes."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, bytes]] = []
        self.wire = bytearray()

    def places(self) -> list[tuple[str, bytes]]:
        """Return it as places to search."""
        return [*((f"frame to {peer}", frame) for peer, frame in self.frames), ("wire", bytes(self.wire))]


@contextmanager
def recorded() -> Iterator[Recording]:
    """Record every frame that this process sends to a peer, and every byte that it writes to a socket."""
    recording = Recording()
    send_frame, socket_type = Channel.send, type(trio.socket.socket())
    send_bytes = socket_type.send

    async def frame(self: Channel, payload: bytes, timeout: float | None = None) -> None:
        recording.frames.append((self.peer, bytes(payload)))
        await send_frame(self, payload, timeout)

    async def wire(self: Any, data: Any, flags: int = 0) -> int:
        count: int = await send_bytes(self, data, flags)
        recording.wire += memoryview(data)[:count]
        return count

    with mock.patch.object(Channel, "send", frame), mock.patch.object(socket_type, "send", wire):
        yield recording
