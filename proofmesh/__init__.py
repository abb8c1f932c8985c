# SPDX-License-Identifier: GPL-3.0-or-later
"""The public face of proofmesh: re-exports only, imported when they are first asked for.

`Client` asks the market; `bundle_model`, `prove_local` and `verify_on_chain` need none (docs/MODELS.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from node.client_api import Client, Request
    from node.model_api import LocalProof, bundle_model, prove_local, verify_on_chain
    from node.receipt import Receipt

__all__ = ["Client", "LocalProof", "Receipt", "Request", "bundle_model", "prove_local", "verify_on_chain"]


def __getattr__(name: str) -> object:
    # The command line imports this package too, and `proofmesh sim` should not load the network for it.
    if name not in __all__:
        raise AttributeError(f"module 'proofmesh' has no attribute {name!r}")
    if name in ("Client", "Request"):
        from node import client_api

        return getattr(client_api, name)
    if name == "Receipt":
        from node import receipt

        return receipt.Receipt
    from node import model_api

    return getattr(model_api, name)
