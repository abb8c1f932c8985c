# SPDX-License-Identifier: GPL-3.0-or-later
"""Landlock: from here on, this thread and its children see only the paths that are named. Linux 5.13 and later.

Source: Documentation/userspace-api/landlock.rst of the kernel. No privilege is needed and nothing can be taken back.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture
_VERSION_FLAG, _PATH_BENEATH = 1, 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_FS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP = 0b11  # bind and connect, since ABI 4
_SCOPES = 0b11  # abstract Unix sockets and signals, since ABI 6
_READ = _READ_FILE | _READ_DIR

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """Return the kernel's version of Landlock, 0 where there is none."""
    version: int = _libc.syscall(_CREATE, None, 0, _VERSION_FLAG)
    return max(0, version)


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """Let this thread open only what is below these paths, no TCP, and signal nobody outside, as the kernel can.

    Paths that do not exist are passed over. The caller has set no_new_privs.

    Raises:
        OSError: the kernel refuses.
    """
    version = abi()
    handled = _FS_BY_ABI[min(max(version, 1), 5)]
    attributes = struct.pack("=QQQ", handled, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call(_CREATE, ctypes.c_char_p(attributes), size, 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READ & handled)
        for path in writable:
            _allow(ruleset, path, handled & ~_EXECUTE)
        _call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            access &= _OF_FILES
        _call(_ADD, ruleset, _PATH_BENEATH, ctypes.c_char_p(struct.pack("=Qi", access, descriptor)), 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return result
