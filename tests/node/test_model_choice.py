# SPDX-License-Identifier: GPL-3.0-or-later
"""A record that somebody else publishes of a bundle earns nothing, spoils nothing, and is never chosen in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from devnet_market import small_bundle
from escrow_market import account, market, model_record

from contracts import bindings
from contracts.events import ModelPublished
from contracts.records import Advice
from node.bundle_store import BundleStore, program_of
from node.chain_view import open_chain
from node.journal import Journal
from node.model_choice import ModelBrokenError, ModelNotOfBundleError, SeveralPublishersError, model_of

BUNDLE, PROGRAM, OTHER_PROGRAM = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
PUBLISHER, SQUATTER = account("publisher"), account("squatter")


def published(
    number: int, publisher: bytes = PUBLISHER.address, program: bytes = PROGRAM, royalty_bps: int = 250
) -> ModelPublished:
    record = model_record(program, bundle_id=BUNDLE, royalty_bps=royalty_bps)
    return ModelPublished(bytes([number]) * 32, publisher, program, record)


def test_a_record_of_another_program_is_not_of_the_bundle() -> None:
    """Orders by it would be locked and never paid."""
    false, good = published(1, SQUATTER.address, OTHER_PROGRAM), published(2)
    assert model_of([false, good], BUNDLE, PROGRAM, None) == good
    assert model_of([false], BUNDLE, PROGRAM, None) is None
    with pytest.raises(ModelNotOfBundleError):
        model_of([false, good], BUNDLE, PROGRAM, false.model_id)


def test_between_several_publishers_the_user_chooses_if_one_takes_a_royalty() -> None:
    good, copy = published(2), published(1, SQUATTER.address, royalty_bps=5_000)
    for order in ([good, copy], [copy, good], [published(3, royalty_bps=0), copy]):
        with pytest.raises(SeveralPublishersError, match="50%"):
            model_of(order, BUNDLE, PROGRAM, None)
    assert model_of([copy, good], BUNDLE, PROGRAM, good.model_id) == good
    free = [replace(each, record=model_record(PROGRAM, bundle_id=BUNDLE, royalty_bps=0)) for each in (good, copy)]
    assert model_of(free, BUNDLE, PROGRAM, None) == free[0]


def test_one_publishers_first_record_is_the_bundles_and_others_are_of_other_bundles() -> None:
    first, second = published(1), published(2)
    elsewhere = replace(first, record=model_record(PROGRAM, bundle_id=b"\x09" * 32))
    assert model_of([elsewhere, first, second], BUNDLE, PROGRAM, None) == first
    assert model_of([elsewhere], BUNDLE, PROGRAM, None) is None
    assert model_of([first], BUNDLE, PROGRAM, b"\x77" * 32) is None


async def test_a_bundle_is_ordered_by_its_model_until_that_is_squatted_or_said_to_be_broken(tmp_path: Path) -> None:
    bundle = await trio.to_thread.run_sync(small_bundle, tmp_path / "published")
    with market(("squatter",)) as chain, Journal(tmp_path / "journal") as journal:
        program = program_of(bundle.manifest)
        words = (program.verifying_key, program.layout, program.setup_id, program.dev)
        chain.register(PUBLISHER, bindings.register_program(program.proof_system, *words))
        record = model_record(program.id(), bundle_id=bundle.id)
        model = bindings.model_id(PUBLISHER.address, record)
        chain.register(PUBLISHER, bindings.publish_model(record))
        settings = chain.settings(tmp_path)
        async with open_chain(settings, SQUATTER, journal) as view:
            store = BundleStore(tmp_path / "bundles")
            for name in (str(bundle.folder), bundle.id.hex(), model.hex()):
                served = await store.resolve(name, view)
                assert (served.model_id, served.royalty_bps) == (model, 250)
            chain.register(SQUATTER, bindings.publish_model(replace(record, royalty_bps=5_000)))
            with pytest.raises(SeveralPublishersError):
                await store.resolve(bundle.id.hex(), view)
            assert (await store.resolve(model.hex(), view)).model_id == model
            chain.register(PUBLISHER, bindings.advise(model, Advice.BROKEN, bytes(32), "it decides badly"))
            with pytest.raises(ModelBrokenError, match="broken"):
                await store.resolve(model.hex(), view)
