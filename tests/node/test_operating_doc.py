# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of settings in docs/OPERATING.md says what the code does; `python <this file>` prints the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from node.config import keys
from node.settings import NETWORK_DEFAULTS, Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "OPERATING.md"
BY_NETWORK = {
    "confirmations": "1 on devnet, 3 on custom",
    "poll_ms": "200 on devnet, 2000 on custom",
    "prover.promise_slack_seconds": "20 on devnet, 90 on custom",
    "prover.settle_margin_seconds": "5 on devnet, 45 on custom",
}
BY_MACHINE = {"prover.capacity": "number of CPUs"}
NO_DEFAULT = {"rpc_url", "chain_id"}


def rows() -> list[str]:
    """The table's rows, from the settings themselves."""
    return [f"| `{key}` | {_default(key)} | {_field(key).description} |" for key in keys() if key != "data_dir"]


def _field(key: str) -> Any:
    model: type[BaseModel] = Settings
    *sections, name = key.split(".")
    for section in sections:
        found = model.model_fields[section].annotation
        assert isinstance(found, type) and issubclass(found, BaseModel)
        model = found
    return model.model_fields[name]


def _default(key: str) -> str:
    if key in NO_DEFAULT:
        return "must be given on custom"
    if key in BY_NETWORK or key in BY_MACHINE:
        return {**BY_NETWORK, **BY_MACHINE}[key]
    value = _field(key).get_default()
    if value is None or value == ():
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def test_the_table_of_settings_is_current() -> None:
    shown = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    wanted = rows()
    start = shown.index(wanted[0])
    assert shown[start : start + len(wanted)] == wanted


def test_defaults_that_differ_by_network_are_as_told() -> None:
    for key, told in BY_NETWORK.items():
        devnet = NETWORK_DEFAULTS["devnet"].get(key, _field(key).get_default())
        assert told == f"{devnet} on devnet, {NETWORK_DEFAULTS['custom'][key]} on custom"


if __name__ == "__main__":
    print("| key | default | meaning |", "| --- | --- | --- |", *rows(), sep="\n")
