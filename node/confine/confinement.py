# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker may do: read the program, the bundles and what it is told; write to its own temporary folder; compute.

No network, no process, no other file (no keystore, vault, journal), so much memory, so many seconds a job. A model is a
stranger's, and so are the keys and the circuit that come with it: whoever finds a flaw in a parser or the proof engine
gets this process and no more. What the kernel does not offer is said in `Confined`, and the node logs it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from node.confine import landlock, seccomp

OPEN_FILES = 256
FILE_BYTES = 2 << 30
"""The largest file that a worker may write: a proving key, while a Circom circuit is compiled."""
_NO_NEW_PRIVS = 38
_SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime",
           "/usr/share/zoneinfo", "/proc/self/", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system",
           "/sys/fs/cgroup", "/dev/urandom", "/dev/random", "/dev/zero")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a worker may read beside the program, where it may write, and how much memory it may have."""

    readable: tuple[Path, ...]
    temporary: Path
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Confined:
    """What holds on this machine; the limits on memory and files do everywhere."""

    files: bool
    network_and_processes: bool


def expected() -> Confined:
    """Return what this kernel offers a worker."""
    return Confined(landlock.abi() > 0, seccomp.available())


def program_paths() -> tuple[Path, ...]:
    """Return where this process found Python and the modules it has imported: what a worker must read to run.

    A folder that merely is on `sys.path` is not enough (it may be somebody's home): of it, the imported packages count.
    """
    prefixes = {Path(path).resolve() for path in (sys.prefix, sys.base_prefix, sys.exec_prefix)} - {Path("/usr")}
    found = {path for path in prefixes if path != Path("/")}
    for module in list(sys.modules.values()):
        name, file = getattr(module, "__name__", ""), getattr(module, "__file__", None)
        if not isinstance(file, str) or "." in name:
            continue
        place = Path(file).resolve()
        place = place.parent if place.name == "__init__.py" else place
        if not any(place.is_relative_to(prefix) for prefix in found):
            found.add(place)
    return tuple(sorted(found))


def confine(wanted: Confinement) -> None:
    """Give up everything else, in this process, for good. The first thing that a worker does.

    Raises:
        OSError: the kernel offers it and refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold inputs
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_FSIZE, FILE_BYTES)
    _lower(resource.RLIMIT_DATA, wanted.memory_bytes)
    for name in [name for name in os.environ if name.startswith("PROOFMESH_")]:
        del os.environ[name]
    os.environ["TMPDIR"] = tempfile.tempdir = str(wanted.temporary)
    os.chdir(wanted.temporary)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    # What the proof engine prints when it panics may quote numbers of an input; nothing reads it here.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    offered = expected()
    if offered.files:
        readable = (*map(Path, _SYSTEM), *wanted.readable)
        landlock.restrict(readable, (wanted.temporary, Path(os.devnull)))
    if offered.network_and_processes:
        seccomp.restrict()


def _lower(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (limit, limit))


class CpuLimit:
    """Ends this process (SIGXCPU) when one job uses more than so many seconds of CPU time."""

    def __init__(self, seconds: float) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime + seconds) + 1
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
