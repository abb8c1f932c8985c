# SPDX-License-Identifier: GPL-3.0-or-later
"""A bounded slice of the differential campaign; `make differential` runs it at length."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from differential import Campaign, Disagreement, campaigns, outcome_of, shallow

TRANSACTIONS = 40
ENDS = (
    "deposit", "deposit_token", "lock", "settle", "settle_external", "settle_batch", "release", "expire", "submit",
    "withdraw",
)  # fmt: skip


def test_random_calls_in_the_name_of_five_accounts_agree() -> None:
    with campaigns(1) as fresh:
        seen = sum((_run(fresh()) for _ in range(2)), Counter[str]())
        assert {f"{name}: done" for name in ENDS} <= set(seen), seen
        assert sum(seen.values()) > 1_000
        _notices_a_model_that_differs(fresh())


def _run(campaign: Campaign) -> Counter[str]:
    for _ in range(TRANSACTIONS):
        campaign.pass_time()
        campaign.step()
    campaign.finish()
    return campaign.seen


def _notices_a_model_that_differs(campaign: Campaign) -> None:
    """A wei too much in the model, or another reason: the comparison says so."""
    drawer = campaign.drawer
    draft = next(each for each in iter(drawer.next_call, None) if each.name == "deposit")
    wrong = replace(draft, modelled=lambda model: model.deposit(draft.sender.address, draft.value + 1))
    assert outcome_of(wrong, shallow(drawer.model))[0] == "done"
    with pytest.raises(Disagreement, match="gives"):
        campaign.step([wrong])
    refused = next(
        each for each in iter(drawer.next_call, None) if outcome_of(each, shallow(drawer.model))[0] != "done"
    )
    with pytest.raises(Disagreement, match="the chain says"):
        campaign.step([replace(refused, modelled=lambda model: None)])
