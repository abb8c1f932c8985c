# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs are readable, machine-readable on request, and silent about secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from node.client_api import Client
from node.log import HIDDEN, configure_logging
from protocol.errors import KeystoreError


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["console", "json"])
def test_secret_fields_are_hidden_however_deep(form: str) -> None:
    stream = io.StringIO()
    configure_logging("info", form, stream)
    structlog.get_logger("x").info(
        "job taken",
        order="0xab",
        secret_key=b"s3cret",
        password="s3cret",
        Input="s3cret",
        nested={"list": [{"blinding": "s3cret", "shown": 1}]},
        rpc_url="http://x/s3cret",
        private_input=[1],
    )
    assert "s3cret" not in stream.getvalue() and HIDDEN in stream.getvalue() and "0xab" in stream.getvalue()


def test_tracebacks_do_not_show_local_variables() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    try:
        password = "s3" + "cret"
        raise ValueError(len(password))
    except ValueError:
        structlog.get_logger("x").exception("failed")
    entry = json.loads(stream.getvalue())
    assert "ValueError: 6" in entry["exception"] and "s3cret" not in stream.getvalue()


def test_text_of_peers_cannot_write_lines_or_control_the_terminal() -> None:
    stream = io.StringIO()
    configure_logging("info", "console", stream)
    structlog.get_logger("x").info("hello", peer="a\n12:00 forged \x1b[2J", size=b"\x01" * 99)
    assert stream.getvalue().count("\n") == 1 and "\x1b" not in stream.getvalue()


def test_levels_and_libraries() -> None:
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    structlog.get_logger("x").debug("quiet")
    logging.getLogger("other").info("quiet")
    logging.getLogger("libp2p.host").error("quiet")
    logging.getLogger("other").warning("loud %s", "warning")
    assert "quiet" not in stream.getvalue()
    assert json.loads(stream.getvalue())["event"] == "loud warning"


def test_a_stream_that_was_closed_loses_the_log_and_not_the_node() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    stream.close()
    structlog.get_logger("test").warning("nobody reads this")
    logging.getLogger("library").warning("nor this")


def test_a_program_that_uses_the_client_gets_its_warnings_on_stderr_and_no_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeystoreError):
        Client(tmp_path / "data", "password")
    log = structlog.get_logger("x")
    log.info("chatter")
    log.warning("trouble", password="s3cret")
    said = capsys.readouterr()
    assert said.out == "" and "chatter" not in said.err and "trouble" in said.err and "s3cret" not in said.err


def test_the_client_leaves_a_programs_own_logs_alone(tmp_path: Path) -> None:
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
    with pytest.raises(KeystoreError):
        Client(tmp_path / "data", "password")
    structlog.get_logger("x").debug("chatter")
    assert "chatter" in stream.getvalue()
