# SPDX-License-Identifier: GPL-3.0-or-later
"""Where settings come from: flag, then environment, then config.toml, then deployment.json (chain and contracts),
then the network's defaults.

Keys are dotted: `rpc_url`, `prover.margin_bps`. In the environment they are `PROOFMESH_RPC_URL` and
`PROOFMESH_PROVER_MARGIN_BPS`, with commas in lists. A wrong key or value anywhere is one
`SettingsError` that names the place and the key but not the value.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from node.deployment_file import NAME as DEPLOYMENT
from node.deployment_file import read_deployment, settings_of
from node.settings import NETWORK_DEFAULTS, Settings
from protocol.errors import SettingsError

PREFIX = "PROOFMESH_"
RESERVED = frozenset({"DATA_DIR", "NETWORK", "PASSWORD", "PASSWORD_FILE", "ANVIL", "CRASH_FILE"})
"""Names after the prefix that are not keys of config.toml, or are read before it."""
MAX_CONFIG_BYTES = 1 << 20

Values = dict[str, object]


@dataclass(frozen=True)
class Resolved:
    """The settings, and for each dotted key where its value came from."""

    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    data_dir: Path | None = None,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings of the node in `data_dir`; see `resolve`."""
    return resolve(data_dir, flags, environ).settings


def resolve(
    data_dir: Path | None = None,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Resolved:
    """Merge all sources. Flags are dotted keys; a flag of None was not given.

    Raises:
        SettingsError: a source has an unknown key or a value that is not acceptable.
    """
    environment = os.environ if environ is None else environ
    folder = default_data_dir(environment) if data_dir is None else data_dir
    config = config_path(folder)
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    sources: list[tuple[str, Values]] = [
        ("flag", _known(given, "the command line")),
        ("environment", _from_environment(environment)),
        (str(config), _known(read_config(config), str(config))),
    ]
    network = _first("network", sources) or "devnet"
    deployment = read_deployment(folder / DEPLOYMENT)
    if deployment is not None:
        sources.append((str(folder / DEPLOYMENT), settings_of(deployment)))
    sources.append(("default", dict(NETWORK_DEFAULTS.get(str(network), {}))))
    resolved = _merge(folder, sources)
    if deployment is not None and deployment.chain_id != resolved.settings.chain_id:
        raise SettingsError(
            f"{folder / DEPLOYMENT} is of chain {deployment.chain_id}, but chain_id is {resolved.settings.chain_id}"
            f" (from {resolved.origins['chain_id']}).",
            remedy="Set chain_id to the chain of the contracts, or move the file away.",
        )
    return resolved


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Return PROOFMESH_DATA_DIR, or `proofmesh` under XDG_DATA_HOME or ~/.local/share."""
    if chosen := environ.get(PREFIX + "DATA_DIR"):
        return Path(chosen)
    base = environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "proofmesh"


def config_path(data_dir: Path) -> Path:
    """Return where the config.toml of a data folder is."""
    return data_dir / "config.toml"


def read_config(path: Path) -> Values:
    """Return the dotted keys of a config.toml; none when there is no file."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}).") from None
    if len(raw) > MAX_CONFIG_BYTES:
        raise SettingsError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes.")
    try:
        tables = tomllib.loads(raw.decode())
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {_place(error)}.") from None
    except RecursionError:
        raise SettingsError(f"{path} is not TOML: nested too deep.") from None
    return _flatten(tables)


def commented_config(values: Mapping[str, object] | None = None) -> str:
    """Return a config.toml with every key explained; keys not in `values` are commented out."""
    chosen = dict(values or {})
    _known(chosen, "config.toml")
    defaults = NETWORK_DEFAULTS.get(str(chosen.get("network", "devnet")), {})
    lines = ["# Settings of a proofmesh node. A flag or PROOFMESH_<KEY> in the environment goes before.", ""]
    sections: list[str] = []
    for name, field in Settings.model_fields.items():
        if name == "data_dir":
            continue
        if section := _section(field):
            sections += ["", f"[{name}]"]
            for inner, inner_field in section.model_fields.items():
                key = f"{name}.{inner}"
                sections += _entry(inner, inner_field, chosen.get(key), defaults.get(key))
        else:
            lines += _entry(name, field, chosen.get(name), defaults.get(name))
    return "\n".join(lines + sections) + "\n"


def write_config(path: Path, values: Mapping[str, object] | None = None) -> None:
    """Write a commented config.toml, mode 0600 (rpc_url may hold a key); never over an existing one.

    Raises:
        SettingsError: the file exists or cannot be written.
    """
    text = commented_config(values)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(f"{path} exists already.", remedy="Edit it, or remove it first.") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be written ({error.strerror}).") from None


def environment_name(key: str) -> str:
    """Return the environment variable of a dotted key."""
    return PREFIX + key.upper().replace(".", "_")


def keys() -> tuple[str, ...]:
    """Return every dotted key of config.toml, in order."""
    found: list[str] = []
    for name, field in Settings.model_fields.items():
        if section := _section(field):
            found += [f"{name}.{inner}" for inner in section.model_fields]
        elif name != "data_dir":
            found.append(name)
    return tuple(found)


def _merge(folder: Path, sources: list[tuple[str, Values]]) -> Resolved:
    nested: dict[str, Any] = {"data_dir": folder}
    origins: dict[str, str] = {}
    for key in keys():
        origin, value = next(((name, s[key]) for name, s in sources if key in s), ("default", None))
        origins[key] = origin
        if value is None:
            continue
        section, _, name = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    try:
        return Resolved(Settings.model_validate(nested), origins)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"][:2] if isinstance(part, str))
        raise _refusal(key, origins.get(key, "default"), first["type"], first["msg"]) from None


def _refusal(key: str, origin: str, kind: str, message: str) -> SettingsError:
    if kind == "missing":
        return SettingsError(
            f"{key} is not set and has no default on this network.",
            remedy=f"Set {key} in config.toml, or {environment_name(key)} in the environment.",
        )
    place = {"flag": "the command line", "environment": environment_name(key)}.get(origin, origin)
    reason = message.removeprefix("Value error, ")
    return SettingsError(f"In {place}, key {key}: {reason[:1].lower() + reason[1:]}.")


def _from_environment(environ: Mapping[str, str]) -> Values:
    names = {environment_name(key): key for key in keys()}
    found: Values = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        if name in names:
            found[names[name]] = environ[name]
        elif name.removeprefix(PREFIX) not in RESERVED:
            raise SettingsError(f"The environment variable {name} is not a setting of proofmesh.")
    return found


def _known(values: Mapping[str, object], place: str) -> Values:
    known = set(keys())
    for key in values:
        if key == "data_dir":
            raise SettingsError(
                f"In {place}, data_dir cannot be set: this file is inside it.",
                remedy="Use --data-dir or PROOFMESH_DATA_DIR.",
            )
        if key not in known:
            raise SettingsError(f"In {place}, the key {key[:64]!a} is unknown.")
    return dict(values)


def _flatten(tables: Mapping[str, Any]) -> Values:
    sections = {name for name, field in Settings.model_fields.items() if _section(field)}
    flat: Values = {}
    for name, value in tables.items():
        if name in sections and isinstance(value, dict):
            flat |= {f"{name}.{inner}": deeper for inner, deeper in value.items()}
        else:
            flat[name] = value
    return flat


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _first(key: str, sources: list[tuple[str, Values]]) -> object:
    return next((values[key] for _, values in sources if key in values), None)


def _entry(name: str, field: FieldInfo, chosen: object, network_default: object) -> list[str]:
    if chosen is not None:
        return [f"# {field.description}", f"{name} = {_toml(chosen)}"]
    default = network_default
    if default is None and not field.is_required():
        default = field.get_default(call_default_factory=True, validated_data={})
    shown = '""' if default is None else _toml(default)
    return [f"# {field.description}", f"# {name} = {shown}"]


def _toml(value: object) -> str:
    if isinstance(value, bytes):
        return f'"0x{value.hex()}"'
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, str) and value.isprintable():
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    raise SettingsError(f"A value of type {type(value).__name__} cannot be written to config.toml.")


def _place(error: tomllib.TOMLDecodeError) -> str:
    """Return the line and column of a syntax error; tomllib's own text may quote the value."""
    text = str(error)
    return text[text.rfind("(at ") + 1 : -1] if "(at " in text else "syntax error"
