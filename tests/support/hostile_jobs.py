# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker that a hostile bundle has taken over might try."""

from __future__ import annotations

import mmap
import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from protocol.errors import AuditError
from proving.backends.circom_compiler import compile_circuit


def eat_memory() -> int:
    held = []
    while True:
        held.append(bytearray(16 << 20))


def eat_shared_memory() -> None:
    """Memory that no limit of the kernel on a process's data counts."""
    held = []
    while True:
        held.append(mmap.mmap(-1, 16 << 20))
        held[-1].write(b"x" * (16 << 20))
        time.sleep(0.02)


def compute_for_ever() -> None:
    while True:
        pass


def fork_for_ever() -> None:
    while True:
        os.fork()


def start_a_program() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=False)


def fill_the_disk() -> None:
    number = 0
    while True:
        Path(tempfile.gettempdir(), str(number)).write_bytes(bytes(1 << 20))
        number += 1


def leave_a_file() -> str:
    path = Path(tempfile.gettempdir(), "left")
    path.write_text("what a job wrote")
    return str(path)


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def write(path: str) -> None:
    Path(path).write_text("x")


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


def send_a_datagram() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))


def signal_parent() -> None:
    os.kill(os.getppid(), 0)


def limit_parent() -> None:
    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (1, 1))


def compute_in_a_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(sum(range(1000))))
    thread.start()
    thread.join()
    return found[0]


def environment() -> list[str]:
    return [name for name in os.environ if name.startswith("PROOFMESH_")]


class Call:
    """A pickle that calls a function where it is read."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def answer_with_a_call(path: str) -> Call:
    return Call(os.mkdir, path)


def fail_with_a_call(path: str) -> None:
    raise ValueError(Call(os.mkdir, path))


def answer_much() -> bytes:
    return bytes(17 << 20)


def end_the_node() -> None:
    raise SystemExit(0)


def be_refused() -> None:
    raise AuditError("It needs the powers of tau.")


def compile_circom(text: str) -> bytes:
    """No attack: what a worker must be able to do."""
    system, witness_program = compile_circuit("c.circom", {"c.circom": text})
    return sha256(repr(system).encode() + witness_program).digest()


def raise_what_a_package_raises() -> None:
    raise struct.error("not of this program")
