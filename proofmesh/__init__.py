# SPDX-License-Identifier: GPL-3.0-or-later
"""The public face of proofmesh: re-exports only, imported when they are first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from node.client_api import Client, Request
    from node.receipt import Receipt

__all__ = ["Client", "Receipt", "Request"]


def __getattr__(name: str) -> object:
    # The command line imports this package too, and `proofmesh sim` should not load the network for it.
    if name not in __all__:
        raise AttributeError(f"module 'proofmesh' has no attribute {name!r}")
    from node import client_api, receipt

    return {"Client": client_api.Client, "Receipt": receipt.Receipt, "Request": client_api.Request}[name]
