# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh bundle`: what is there, what stays, what goes."""

from __future__ import annotations

from command_line import Shell

from node.bundle_index import BundleIndex

STRANGE = bytes([5]) * 32


def test_a_fetched_bundle_can_be_kept_and_removed_and_an_own_one_stays(shell: Shell) -> None:
    own = shell.compiled("public", "logistic")
    folder = shell.folder / "data" / "bundles" / STRANGE.hex()
    folder.mkdir()
    (folder / "manifest.json").write_bytes(b"{}")
    BundleIndex(shell.folder / "data" / "bundles.sqlite").fetched(STRANGE, 1.0)
    listed = {each["bundle_id"]: each["kept_because"] for each in shell("bundle", "list")["bundles"]}
    assert listed == {"0x" + own.removeprefix("0x"): "it was made here", "0x" + STRANGE.hex(): ""}
    models = shell("model", "list")
    assert [each["bundle_id"] for each in models["bundles"]] == ["0x" + own.removeprefix("0x")]
    (unreadable,) = models["unreadable"]
    assert unreadable["bundle_id"] == "0x" + STRANGE.hex() and "not acceptable" in unreadable["reason"]
    shell("bundle", "pin", STRANGE.hex())
    for kept in (own, STRANGE.hex()):
        assert shell("bundle", "evict", kept, exit_code=2)["error"] == "PM-BND-021"
    shell("bundle", "unpin", STRANGE.hex())
    assert shell("bundle", "evict", STRANGE.hex())["freed_bytes"] >= 0
    assert not folder.exists()
    shell("bundle", "pin", STRANGE.hex(), exit_code=2)
