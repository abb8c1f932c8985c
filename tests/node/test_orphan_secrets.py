# SPDX-License-Identifier: GPL-3.0-or-later
"""A secret whose order was never kept is erased at the next start, and no other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from market_samples import ORDER_HASH

from node.context import NodeContext
from node.vault import Vault

OTHER = b"\x42" * 32


def test_secrets_of_unknown_orders_are_erased_and_others_stay(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault")
    mine = [NodeContext.input_name(ORDER_HASH), f"seal-{ORDER_HASH.hex()}-0011223344556677"]
    lost = [NodeContext.input_name(OTHER), f"seal-{OTHER.hex()}-0011223344556677"]
    for name in [*mine, *lost, "something-else"]:
        vault.put(name, b"secret")
    node = cast(Any, SimpleNamespace(vault=vault))
    NodeContext.erase_orphans(node, {ORDER_HASH})
    assert set(vault.names()) == {*mine, "something-else"}
