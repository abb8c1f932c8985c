# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings: precedence, hostile sources, and a written config.toml that reads back."""

from __future__ import annotations

import contextlib
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config import commented_config, environment_name, keys, load_settings, resolve, write_config
from protocol.errors import SettingsError

ADDRESS = "0x" + "ab" * 20


def test_defaults_of_the_devnet(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, environ={})
    assert (settings.chain_id, settings.rpc_url, settings.confirmations) == (
        31337,
        "http://127.0.0.1:8545",
        1,
    )
    assert settings.data_dir == tmp_path and settings.escrow is None and settings.prover.margin_bps == 2_000


def test_flag_goes_before_environment_before_file_before_default(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        "chain_id = 5\npoll_ms = 50\n[prover]\nmargin_bps = 1\nwei_per_ms = 9\n"
    )
    environ = {"PROOFMESH_CHAIN_ID": "6", "PROOFMESH_PROVER_MARGIN_BPS": "2"}
    found = resolve(tmp_path, {"prover.margin_bps": 3, "prover.payout": None}, environ)
    settings = found.settings
    assert (settings.prover.margin_bps, settings.chain_id, settings.poll_ms) == (3, 6, 50)
    assert (settings.prover.wei_per_ms, settings.confirmations) == (9, 1)
    assert [found.origins[k] for k in ("prover.margin_bps", "chain_id", "confirmations")] == [
        "flag",
        "environment",
        "default",
    ]
    assert found.origins["poll_ms"].endswith("config.toml")


def test_every_key_can_come_from_the_environment(tmp_path: Path) -> None:
    environ = {
        "PROOFMESH_ROLES": "prover, verifier",
        "PROOFMESH_ESCROW": ADDRESS,
        "PROOFMESH_CLIENT_ALLOW": f"{ADDRESS},{ADDRESS}",
        "PROOFMESH_BOOTSTRAP": "/ip4/127.0.0.1/tcp/1",
        "PROOFMESH_PROVER_EXPOSURE_CAP_WEI": str(10**30),
    }
    settings = load_settings(tmp_path, environ=environ)
    assert settings.roles == ("prover", "verifier")
    assert settings.escrow == bytes.fromhex("ab" * 20) == settings.client.allow[1]
    assert settings.prover.exposure_cap_wei == 10**30
    assert len({environment_name(key) for key in keys()}) == len(keys())


def test_custom_network_has_no_chain_by_default(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"rpc_url is not set.*PROOFMESH_RPC_URL"):
        load_settings(tmp_path, {"network": "custom"}, {})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("chain_id = true", "chain_id"),
        ("chain_id = 1.5", "chain_id"),
        ("chain_id = -1", "chain_id"),
        ("chain_id = 0", "chain_id"),
        ('chain_id = "s3cret"', "chain_id"),
        ('rpc_url = "ftp://s3cret"', "rpc_url"),
        ("rpc_url = 7", "rpc_url"),
        ('escrow = "0xs3cret"', "escrow"),
        ("escrow = 0x1234", "escrow"),
        ('listen = ["s3cret"]', "listen"),
        ("listen = 3", "listen"),
        ('roles = ["prover", "prover"]', "roles"),
        ('roles = ["s3cret"]', "roles"),
        ('log_level = "s3cret"', "log_level"),
        ('network = "s3cret"', "network"),
        ("network = []", "network"),
        ("prover = 3", "prover"),
        ("[prover]\ncapacity = 0", "prover.capacity"),
        ("[prover]\nexposure_cap_wei = " + "9" * 60, "prover.exposure_cap_wei"),
        ('[prover]\npayout = "s3cret"', "prover.payout"),
        ("[prover]\nmargin_bps = 100\nleast_margin_bps = 101", "prover.least_margin_bps"),
        ("[prover]\nsettle_margin_seconds = 20", "prover.settle_margin_seconds"),
        ('rpc_urls = ["http://127.0.0.1:1", "ftp://s3cret"]', "rpc_urls"),
        ('[prover]\nbundles = ["s3cret"]', "prover.bundles"),
        ('[prover]\nverifiers = ["s3cret"]', "prover.verifiers"),
        ('[client]\nallow = ["s3cret"]', "client.allow"),
        ('[client]\npolicy = "s3cret"', "client.policy"),
        ("[verifier]\nunknown_key = 3", "unknown_key"),
        ("unknown_key = 3", "unknown_key"),
        ("[prover.payout]\nx = 1", "prover.payout"),
        ('data_dir = "/tmp"', "data_dir"),
    ],
)
def test_a_hostile_value_is_one_error_with_file_and_key_but_not_the_value(
    tmp_path: Path, text: str, key: str
) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, environ={})
    shown = str(caught.value)
    assert key in shown and "config.toml" in shown and "s3cret" not in shown and "PM-CFG-002" in shown
    assert caught.value.exit_code == 3 and caught.value.__cause__ is None


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe", b"= 3", b'rpc_url = "s3cret', b"a=" + b"[" * 5000, b"#" * (2 << 20)]
)
def test_a_file_that_is_not_toml_is_one_error(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(raw)
    with pytest.raises(SettingsError, match=r"config\.toml") as caught:
        load_settings(tmp_path, environ={})
    assert "s3cret" not in str(caught.value)


def test_a_config_that_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path, environ={})


@given(raw=st.binary(max_size=200))
def test_no_bytes_crash_the_reader(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    folder = tmp_path_factory.mktemp("config")
    (folder / "config.toml").write_bytes(raw)
    with contextlib.suppress(SettingsError):
        load_settings(folder, environ={})


def test_a_misspelt_environment_variable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="PROOFMESH_PROVER_MARGN_BPS"):
        load_settings(tmp_path, environ={"PROOFMESH_PROVER_MARGN_BPS": "s3cret"})
    load_settings(tmp_path, environ={"PROOFMESH_PASSWORD_FILE": "x", "PROOFMESH_DATA_DIR": "y"})


def test_a_wrong_environment_value_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="PROOFMESH_POLL_MS") as caught:
        load_settings(tmp_path, environ={"PROOFMESH_POLL_MS": "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_written_config_explains_every_key_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    values = {
        "rpc_url": 'http://x/"q"',
        "roles": ["prover"],
        "escrow": bytes(range(20)),
        "prover.margin_bps": 7,
    }
    write_config(path, values)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    settings = load_settings(tmp_path, environ={})
    assert settings.rpc_url == values["rpc_url"] and settings.escrow == bytes(range(20))
    assert settings.roles == ("prover",) and settings.prover.margin_bps == 7
    text = path.read_text()
    for key in keys():
        assert f"{key.rpartition('.')[2]} = " in text
    with pytest.raises(SettingsError, match="exists already"):
        write_config(path)


def test_the_commented_defaults_are_the_defaults(tmp_path: Path) -> None:
    uncommented = "\n".join(
        line[2:] if line.startswith("# ") and " = " in line else line
        for line in commented_config().splitlines()[1:]
        if not (line.startswith("# ") and line.endswith("."))
    )
    tomllib.loads(uncommented)
    plain = load_settings(tmp_path, environ={})
    (tmp_path / "config.toml").write_text(uncommented)
    assert load_settings(tmp_path, environ={}) == plain


def test_the_rpc_address_is_not_in_the_repr(tmp_path: Path) -> None:
    assert "s3cret" not in repr(load_settings(tmp_path, {"rpc_url": "https://x/s3cret"}, {}))


def test_a_chain_of_its_own_has_margins_for_its_blocks_and_all_of_its_endpoints_in_order(tmp_path: Path) -> None:
    assert load_settings(tmp_path, environ={}).prover.settle_margin_seconds == 5
    with pytest.raises(SettingsError, match="settle_margin_seconds: must be below promise_slack"):
        load_settings(tmp_path, {"prover.promise_slack_seconds": 5}, environ={})
    text = 'network = "custom"\nchain_id = 1\nrpc_url = "http://a"\nrpc_urls = ["http://b", "http://a"]\n'
    (tmp_path / "config.toml").write_text(text)
    settings = load_settings(tmp_path, environ={})
    assert (settings.prover.promise_slack_seconds, settings.prover.settle_margin_seconds) == (90, 45)
    assert settings.rpc_endpoints == ("http://a", "http://b")
    assert "http://b" not in repr(settings)
