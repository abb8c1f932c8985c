# SPDX-License-Identifier: GPL-3.0-or-later
"""A seccomp filter: from here on this process makes no socket, no process, and touches no other one. Linux x86-64.

Source: Documentation/userspace-api/seccomp_filter.rst of the kernel. What is refused is a list: a proof engine needs
memory, files and threads, which stay. Nothing can be taken back, and threads and children have the filter too.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

_ARCHITECTURE = 0xC000003E  # AUDIT_ARCH_X86_64
_X32 = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_SECCOMP, _SET_FILTER = 317, 1
_ALL_THREADS, _NO_SLOWER_BRANCHES = 1 << 0, 1 << 2
"""The second: older kernels would make all of a filtered process's computing slower, against a leak that needs code."""
_CLONE_THREAD = 0x00010000

REFUSED = {
    "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50,
    "socketpair": 53, "accept4": 288, "sendmmsg": 307,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "fork": 57, "vfork": 58, "execve": 59, "execveat": 322,
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "process_madvise": 440, "kcmp": 312,
    "tkill": 200, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297,
    "pidfd_open": 434, "pidfd_send_signal": 424, "pidfd_getfd": 438,
    "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "move_mount": 429,
    "open_tree": 428, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    "add_key": 248, "request_key": 249, "keyctl": 250, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
    "init_module": 175, "finit_module": 313, "kexec_load": 246, "kexec_file_load": 320, "reboot": 169,
    "open_by_handle_at": 304, "personality": 135, "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240,
}  # fmt: skip
"""Refused with EPERM: network, processes, other processes' memory and signals, the kernel's own matters."""
_CLONE, _CLONE3, _PRLIMIT = 56, 435, 302
_SIGNALS = {"kill": 62, "tgkill": 234}


def available() -> bool:
    """Say whether the filter is made for this machine."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def restrict() -> None:
    """Refuse from now on; the caller has set no_new_privs.

    Raises:
        OSError: the kernel refuses.
    """
    program = _program(os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _ALL_THREADS | _NO_SLOWER_BRANCHES
    if libc.syscall(_SECCOMP, _SET_FILTER, flags, ctypes.c_char_p(header)) != 0:
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")


def _program(own: int) -> bytes:
    refuse, unknown, allow = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS, _ALLOW
    lines = [
        _line(_LOAD, _ARCHITECTURE_AT),
        _line(_EQUAL, _ARCHITECTURE, 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER_AT),
        _line(_AT_LEAST, _X32, 0, 1),
        _line(_RETURN, refuse),
    ]
    for number in sorted(REFUSED.values()):
        lines += [_line(_EQUAL, number, 0, 1), _line(_RETURN, refuse)]
    # The C library asks for clone3, whose flags a filter cannot see, and is content with clone: threads only.
    lines += [_line(_EQUAL, _CLONE3, 0, 1), _line(_RETURN, unknown)]
    lines += [_line(_EQUAL, _CLONE, 0, 4), _line(_LOAD, _FIRST_ARGUMENT_AT)]
    lines += [_line(_ANY_BIT, _CLONE_THREAD, 0, 1), _line(_RETURN, allow), _line(_RETURN, refuse)]
    for number, target in ((_PRLIMIT, 0), (_SIGNALS["kill"], own), (_SIGNALS["tgkill"], own)):
        # Own limits, and signals to this process alone.
        lines += [_line(_EQUAL, number, 0, 4), _line(_LOAD, _FIRST_ARGUMENT_AT)]
        lines += [_line(_EQUAL, target, 0, 1), _line(_RETURN, allow), _line(_RETURN, refuse)]
    return b"".join([*lines, _line(_RETURN, allow)])


def _line(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)
