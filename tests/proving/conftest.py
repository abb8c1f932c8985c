# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles that several tests read; whoever changes one copies it first."""

from __future__ import annotations

from typing import Any

import pytest
from proving_models import Sample, credit_module, exported, public

from proving import prover
from proving.bundle import Bundle
from proving.publish import Publication, build, onnx_source
from proving.statement.commitment import order_secrets

SECRETS = order_secrets(b"a secret of the tests", b"salt")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small MLP with a public score."""
    source = onnx_source(exported("mlp"), public())
    return build(source, tmp_path_factory.mktemp("store"), Publication("small"))


@pytest.fixture(scope="session")
def proved(bundle: Bundle) -> Sample:
    return Sample(bundle, prover.prove(bundle.folder, (1, 2, 3, 4), SECRETS, 12345))


@pytest.fixture(scope="session")
def credit() -> Any:
    """The trained credit model."""
    return credit_module().train()
