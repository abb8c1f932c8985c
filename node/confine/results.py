# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker may send back: pickled records and errors of this program, of bounded size, and nothing that runs code.

A pickle names functions to call, so a worker that a hostile bundle has taken over could leave its confinement through
its own answer. Every answer is read with a list of what it may name before anything else unpickles it.
"""

from __future__ import annotations

import builtins
import dataclasses
import io
import pickle
from enum import Enum
from typing import Any

from trio_parallel._posix_pipes import FdChannel

RESULT_BYTES = 16 << 20
_OWN = ("protocol.", "proving.", "node.")
_CONTAINERS = frozenset({"set", "frozenset", "bytearray", "complex"})
_OUTCOMES = frozenset({("outcome", "Value"), ("outcome", "Error")})


class AnswerRefusedError(Exception):
    """The worker sent what it may not."""


def nameable(kind: type[Exception]) -> bool:
    """Say whether an answer may hold an error of this kind: a package's own could do anything when it is unpickled."""
    return kind.__module__ == "builtins" or kind.__module__.startswith(_OWN)


class CheckedChannel(FdChannel):  # type: ignore[misc]  # trio_parallel has no types
    """The parent's end of the pipe from a worker."""

    async def receive(self) -> bytes:
        """Return the next answer, when it names nothing but what an answer may."""
        data: bytes = await super().receive()
        check(data)
        return data

    async def _recv_exactly(self, size: int) -> Any:
        if size > RESULT_BYTES:
            raise AnswerRefusedError("An answer of a worker is too large.")
        return await super()._recv_exactly(size)


def check(data: bytes) -> None:
    """Read a pickle with the list of names.

    Raises:
        AnswerRefusedError: it names something else, or is no pickle.
    """
    try:
        _Reader(io.BytesIO(data)).load()
    except AnswerRefusedError:
        raise
    except Exception:  # whatever a damaged pickle makes the reader raise
        raise AnswerRefusedError("An answer of a worker cannot be read.") from None


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _OUTCOMES:
            return super().find_class(module, name)
        if "." in name:
            raise AnswerRefusedError("An answer of a worker names what is inside something else.")
        if module == "builtins":
            found = getattr(builtins, name, None)
            if name in _CONTAINERS or (isinstance(found, type) and issubclass(found, Exception)):
                return found
        elif module.startswith(_OWN):
            found = super().find_class(module, name)
            plain = isinstance(found, type) and (dataclasses.is_dataclass(found) or issubclass(found, Exception | Enum))
            if plain and found.__module__ == module:
                return found
        raise AnswerRefusedError(f"An answer of a worker names {module[:60]!a}.{name[:60]!a}.")
