# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that makes no sense is refused before anything starts; liars are the share that was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofmesh.main import main
from protocol.errors import UsageError
from sims.cluster.options import Options


@pytest.mark.parametrize(
    "options",
    [
        Options(provers=0),
        Options(verifiers=0),
        Options(clients=-1),
        Options(provers=63),
        Options(minutes=0),
        Options(minutes=1e9),
        Options(byzantine_percent=101),
        Options(byzantine_percent=-1),
        Options(byzantine_percent=50),
        Options(byzantine_percent=50, byzantine_program=Path("/missing")),
    ],
)
def test_what_makes_no_sense_is_refused(options: Options) -> None:
    with pytest.raises(UsageError):
        options.checked()


@pytest.mark.parametrize(("provers", "percent", "liars"), [(8, 30, 2), (10, 30, 3), (3, 30, 1), (8, 0, 0), (2, 100, 2)])
def test_the_share_of_liars(provers: int, percent: int, liars: int) -> None:
    options = Options(provers=provers, verifiers=3, byzantine_percent=percent, byzantine_program=Path(__file__))
    assert options.checked().liars == liars
    assert options.lying_verifiers == (1 if percent else 0)


def test_the_command_ends_with_the_code_of_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["proofmesh", "sim", "cluster", "--provers", "0"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
