# SPDX-License-Identifier: GPL-3.0-or-later
"""One devnet of real processes for all tests of this folder; each leaves its nodes running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from devnet_thread import Market, running_market


@pytest.fixture(scope="package")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """A running market: three provers, two verifiers, a publisher, a funded client.

    It ends with this folder's tests: nine processes would slow down all that come after them.
    """
    with running_market(tmp_path_factory.mktemp("market")) as market:
        yield market


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that share the devnet in one process when the run is split over several."""
    for item in items:
        if "market" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("devnet"))
    # They wait more than they compute: begun first, they run beside all others.
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
