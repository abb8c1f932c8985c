# SPDX-License-Identifier: GPL-3.0-or-later
"""Which published model an order by a bundle is of: anyone may publish a record that names somebody else's bundle.

Such a record takes a royalty of what others trained, or names another program, whose orders nobody is paid for. So a
record counts only if it names the bundle's program, and where several accounts have published the bundle, and one of
them takes a royalty, the user says which is meant.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.events import ModelPublished
from protocol.errors import UsageError

MOST_NAMED = 5
"""Models that an error names."""


class ModelNotOfBundleError(UsageError):
    """The record of the model names another program than its bundle holds: no proof of it would be paid."""

    code = "PM-BND-022"
    remedy = "Name another model, or the bundle alone."


class SeveralPublishersError(UsageError):
    """More than one account has published the bundle, and the royalty would go to one of them."""

    code = "PM-BND-023"
    remedy = "Name the model's id instead of the bundle; `proofmesh model history ID` shows its publisher."


class ModelBrokenError(UsageError):
    """The publisher of the model says that it is broken and must not be used."""

    code = "PM-BND-024"
    remedy = "Use its successor, or another model; `proofmesh model history ID` shows what was said."


def model_of(
    published: Sequence[ModelPublished], bundle_id: bytes, program_id: bytes, model_id: bytes | None
) -> ModelPublished | None:
    """Return the model that is meant by an id, or by the bundle alone; None if the bundle is not published.

    Raises:
        ModelNotOfBundleError, SeveralPublishersError: see above.
    """
    if model_id is not None:
        named = next((each for each in published if each.model_id == model_id), None)
        if named is not None and (named.record.program_id, named.record.bundle_id) != (program_id, bundle_id):
            raise ModelNotOfBundleError(f"Model 0x{model_id.hex()} is of another program than its bundle.")
        return named
    ours = [each for each in published if (each.record.program_id, each.record.bundle_id) == (program_id, bundle_id)]
    publishers = {each.publisher for each in ours}
    if len(publishers) > 1 and any(each.record.royalty_bps for each in ours):
        said = "; ".join(
            f"0x{each.model_id.hex()} by 0x{each.publisher.hex()}, {each.record.royalty_bps / 100:g}%"
            for each in ours[:MOST_NAMED]
        )
        raise SeveralPublishersError(f"Bundle 0x{bundle_id.hex()} is published by {len(publishers)} accounts: {said}.")
    return ours[0] if ours else None
