# SPDX-License-Identifier: GPL-3.0-or-later
"""Structured logs to standard error: a console for people, or one JSON object a line.

Fields whose name speaks of a secret are blanked, however deep; text is stripped of control characters,
because much of it comes from peers; tracebacks never show local variables.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "(hidden)"
SECRET_WORDS = (
    "secret", "password", "passphrase", "private", "seed", "mnemonic", "blinding", "witness", "plaintext",
    "keystore", "rpc_url", "opened",
)  # fmt: skip
"""A field is hidden when its name contains one of these."""
SECRET_NAMES = frozenset({"key", "keys", "input", "inputs", "values", "raw", "sealing_key", "k_out"})
"""A field is hidden when this is its name, or its last part after an underscore is key or input."""
MAX_TEXT = 2_000


def configure_logging(level: str = "info", format: str = "console", stream: TextIO | None = None) -> None:
    """Send all logs, of libraries too (warnings and above), to `stream` or standard error.

    Args:
        level: debug, info, warning or error.
        format: console or json.
    """
    output = _Unfailing(stream if stream is not None else sys.stderr)
    number = logging.getLevelNamesMapping()[level.upper()]
    shared, last = _processors(format, colors=output.isatty())
    _structured(output, number, shared, last)
    handler = logging.StreamHandler(cast(TextIO, output))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
    # These print peers' bytes and requests' addresses (which may hold an access key).
    for noisy in ("libp2p", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def quiet_unless_configured() -> None:
    """For a program that uses the library and configures no logs: warnings alone, to standard error."""
    if not structlog.is_configured():
        _structured(_Unfailing(sys.stderr), logging.WARNING, *_processors("console", colors=sys.stderr.isatty()))


def _processors(format: str, colors: bool) -> tuple[list[Processor], Processor]:
    """Return what every line goes through, and what makes text of it."""
    clock = structlog.processors.TimeStamper
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        clock(fmt="iso", utc=True) if format == "json" else clock(fmt="%H:%M:%S", utc=False),
        structlog.processors.format_exc_info,
        redact,
    ]
    if format == "json":
        return shared, structlog.processors.JSONRenderer(sort_keys=True)
    return shared, structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=44)


def _structured(output: _Unfailing, level: int, shared: list[Processor], last: Processor) -> None:
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, output)),
        cache_logger_on_first_use=False,
    )


class _Unfailing:
    """A stream whose reader may go away (a closed terminal, a dead pipe): then the log is lost, not the node."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return self._stream.isatty()
        return False


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Blank secret fields and clean all text; a structlog processor."""
    return {name: _clean(name, value) for name, value in event.items()}


def _clean(name: str, value: Any) -> Any:
    if _is_secret(name):
        return HIDDEN
    if isinstance(value, str):
        lines = name == "exception"
        text = "".join(c if c.isprintable() or (lines and c in "\n\t") else "?" for c in value)
        return text if lines or len(text) <= MAX_TEXT else text[:MAX_TEXT] + "..."
    if isinstance(value, bytes | bytearray):
        return "0x" + bytes(value[:32]).hex() + ("..." if len(value) > 32 else "")
    if isinstance(value, Mapping):
        return {str(inner): _clean(str(inner), deeper) for inner, deeper in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", part) for part in value]
    return value if isinstance(value, bool | int | float | None) else _clean("", str(value))


def _is_secret(name: str) -> bool:
    lowered = name.lower()
    if lowered in SECRET_NAMES or lowered.rpartition("_")[2] in {"key", "input"}:
        return True
    return any(word in lowered for word in SECRET_WORDS)
