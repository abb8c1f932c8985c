# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's Circom files made ready: the main component taken out, includes confined to the files and circomlib."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import groth16py

from protocol.errors import ModelError

MAX_FILES = 256
MAX_SOURCE_BYTES = 8 << 20
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_MAIN = re.compile(
    r"component\s+main\s*(?:\{\s*public\s*\[([^\]]*)\]\s*\})?\s*=\s*([A-Za-z_$][\w$]*)\s*\(([^;]*)\)\s*;"
)
_INCLUDE = re.compile(r'include\s*"([^"\n]*)"\s*;')
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}\.circom")
_LIBRARY = "circomlib/circuits/"


@dataclass(frozen=True, slots=True)
class CircomSource:
    """`files` without any main component; `call` is the template call that was the main one, `public` its list."""

    main: str
    files: Mapping[str, str]
    call: str
    public: tuple[str, ...]


def prepare(main: str, files: Mapping[str, bytes]) -> CircomSource:
    """Read the .circom files among `files`, of which `main` has the main component.

    Comments go: nothing of them is in a circuit, and a main component in one is none.

    Raises:
        ModelError: files are missing, too large, not text, or include what is neither among them nor in circomlib.
    """
    texts = {name: _text(name, data) for name, data in files.items() if name.endswith(".circom")}
    if main not in texts or len(texts) > MAX_FILES:
        raise ModelError(f"The circuit must be {main!r} and at most {MAX_FILES} files of its own.")
    found = _MAIN.findall(texts[main])
    if len(found) != 1:
        raise ModelError(f"{main} must have exactly one main component; it has {len(found)}.")
    listed, template, arguments = found[0]
    texts[main] = _MAIN.sub("", texts[main])
    if other := [name for name, text in texts.items() if re.search(r"component\s+main\b", text)]:
        raise ModelError(f"{other[0]} has a main component besides that of {main}.")
    texts = {name: _INCLUDE.sub(lambda match: _include(match, texts), text) for name, text in texts.items()}
    public = tuple(name.strip() for name in listed.split(",") if name.strip())
    return CircomSource(main, texts, f"{template}({arguments.strip()})", public)


def _text(name: str, data: bytes) -> str:
    if not _FILE_NAME.fullmatch(name):
        raise ModelError(f"{name!r} is no name of a circuit's file.")
    if len(data) > MAX_SOURCE_BYTES:
        raise ModelError(f"{name} has more than {MAX_SOURCE_BYTES} bytes.")
    try:
        return _COMMENT.sub(" ", data.decode("utf-8"))
    except UnicodeDecodeError:
        raise ModelError(f"{name} is not UTF-8.") from None


def _include(match: re.Match[str], texts: Mapping[str, str]) -> str:
    path = match[1]
    local = path.removeprefix("./")
    if local in texts:
        return f'include "{local}";'
    library = path[path.rfind(_LIBRARY) + len(_LIBRARY) :] if _LIBRARY in path else path
    known = Path(groth16py.circomlib_path(2))
    if ".." not in library.split("/") and not library.startswith("/") and (known / library).is_file():
        return f'include "{library}";'
    raise ModelError(f"The include {path!r} is neither among the circuit's files nor in circomlib.")
