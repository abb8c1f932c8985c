# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command prints: words and tables for people, one JSON object on stdout with `--json`.

Progress and logs go to stderr, so that `--json` output can be piped.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from protocol.errors import ProofmeshError

WEI_PER_ETHER = 10**18
PIPED_WIDTH = 400
"""Columns of a table that is not printed to a terminal."""


class Output:
    """Prints for a person or, with `as_json`, for a script."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        # Into a pipe or a file a table is as wide as it is: a cut-off id is worth nothing.
        terminal = sys.stdout is not None and sys.stdout.isatty()  # there may be no standard output at all
        wide = None if terminal or "COLUMNS" in os.environ else PIPED_WIDTH
        self.console = Console(soft_wrap=True, highlight=False, width=wide)
        self.progress = Console(stderr=True, soft_wrap=True, highlight=False)

    def say(self, text: str, *, lead: str = "", style: str = "bold") -> None:
        """Print a line for a person, plain text behind a `lead` in a style; silent with `--json`."""
        if not self.as_json:
            self.console.print(_plain(lead, style) + _plain(text))

    def step(self, text: str, *, lead: str = "", style: str = "bold") -> None:
        """Print a line of progress on stderr, plain text behind a `lead` in a style; silent with `--json`."""
        if not self.as_json:
            self.progress.print(_plain(lead, style) + _plain(text))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table for a person; silent with `--json`. Cells are plain text, but for `Text` with its own style."""
        if self.as_json:
            return
        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else _plain(str(cell)) for cell in row))
        self.console.print(table, soft_wrap=False)

    def result(self, fields: Mapping[str, Any]) -> None:
        """Print the result as one line of JSON with `--json`; silent otherwise."""
        if self.as_json:
            print(json.dumps(jsonable(fields), sort_keys=True), flush=True)

    def event(self, fields: Mapping[str, Any]) -> None:
        """Print one line of JSON for something that happened, with `--json`; silent otherwise."""
        self.result(fields)

    def error(self, error: ProofmeshError) -> None:
        """Print an error: on stderr for people, as JSON on stdout for scripts."""
        if self.as_json:
            self.result({"error": error.code, "message": error.message, "remedy": error.advice})
        else:
            self.progress.print(_plain("Error", "bold red") + _plain(f" [{error.code}] {error.message}"))
            if error.advice:
                self.progress.print(_plain(f"  {error.advice}"))


def ether(wei: int) -> str:
    """Return wei as a readable amount of ether, exact to the wei."""
    sign, wei = ("-", -wei) if wei < 0 else ("", wei)
    whole, rest = divmod(wei, WEI_PER_ETHER)
    fraction = f"{rest:018d}".rstrip("0")
    return f"{sign}{whole}.{fraction or '0'} ETH"


def instant(second: int) -> str:
    """Return a Unix second as a date and time in this machine's time zone, and in how many seconds that is.

    Others choose some of them: one beyond the calendar is still shown, as a number.
    """
    try:
        when = datetime.fromtimestamp(second).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    except (ValueError, OverflowError, OSError):
        return f"second {second}"
    until = second - int(time.time())
    return f"{when} (in {until} s)" if until > 0 else when


def hexed(value: bytes) -> str:
    """Return bytes as `0x` and hexadecimal digits."""
    return "0x" + value.hex()


def _plain(text: str, style: str = "") -> Text:
    """Text of others (a licence, a reason) as it is: no markup, and nothing that moves the cursor."""
    return Text("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text), style)


def jsonable(value: Any) -> Any:
    """Return a value that JSON can hold: bytes as hexadecimal, big integers as they are."""
    if isinstance(value, bytes):
        return hexed(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(item) for item in value]
    return value
