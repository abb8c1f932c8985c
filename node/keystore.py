# SPDX-License-Identifier: GPL-3.0-or-later
"""The account's key at rest: Web3 Secret Storage v3, opened with a password.

Nothing here logs, and no error holds a password, a key or the text of a keystore.
Source: https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from eth_account import Account as EthAccount

from protocol import bounded_json
from protocol.errors import KeystoreError, NoPasswordError, WrongPasswordError
from protocol.signing import Account

STANDARD_SCRYPT_N = 1 << 18
"""Cost of the standard: about a second and 256 MiB."""
LIGHT_SCRYPT_N = 1 << 12
"""Cost for keys of a devnet, which guard nothing: about 10 ms."""
MAX_KEYSTORE_BYTES = 16 << 10
MAX_PASSWORD_BYTES = 1 << 10
_MAX_SCRYPT_MEMORY = 1 << 30
_MAX_PBKDF2_ROUNDS = 1 << 24


def create_keystore(path: Path, password: str, *, light: bool = False) -> Account:
    """Draw a new key and store it; never over an existing file.

    Raises:
        KeystoreError: the file exists or cannot be written.
    """
    account = Account(_draw_key())
    store_keystore(path, account, password, light=light)
    return account


def store_keystore(path: Path, account: Account, password: str, *, light: bool = False) -> None:
    """Store the key of an account that exists, mode 0600; never over an existing file.

    Raises:
        KeystoreError: the file exists or cannot be written.
    """
    cost = LIGHT_SCRYPT_N if light else STANDARD_SCRYPT_N
    sealed = EthAccount.encrypt(account.secret(), password, kdf="scrypt", iterations=cost)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(sealed, file)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise KeystoreError(f"{path} exists already.", remedy="Use it, or move it away first.") from None
    except OSError as error:
        raise KeystoreError(f"{path} cannot be written ({error.strerror}).") from None


def change_password(path: Path, account: Account, password: str, *, light: bool = False) -> None:
    """Store the key anew under another password, in place of the file: the old or the new one is there, whole.

    Raises:
        KeystoreError: the file cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        store_keystore(fresh, account, password, light=light)
        os.replace(fresh, path)
    except OSError as error:
        raise KeystoreError(f"{path} cannot be replaced ({error.strerror}).") from None
    finally:
        fresh.unlink(missing_ok=True)


def load_keystore(path: Path, password: str) -> Account:
    """Return the account in the file.

    Raises:
        WrongPasswordError: the password is another one.
        KeystoreError: there is no file, others can read it, or it is no v3 keystore.
    """
    keystore = _read_keystore(path)
    try:
        key = bytes(EthAccount.decrypt(keystore, password))
    except Exception as error:
        # Whatever the library says about a file that has the right shape could quote it: say less.
        if str(error) == "MAC mismatch":
            raise WrongPasswordError(f"The password does not open {path}.") from None
        raise KeystoreError(f"{path} cannot be decrypted.") from None
    try:
        account = Account(key)
    except Exception:
        raise KeystoreError(f"{path} holds no key of secp256k1.") from None
    claimed = keystore.get("address")
    if isinstance(claimed, str) and claimed and claimed.lower().removeprefix("0x") != account.address.hex():
        raise KeystoreError(f"{path} holds the key of another address than it names.")
    return account


def keystore_address(path: Path) -> bytes:
    """Return the 20-byte address that the file names, without opening it.

    Raises:
        KeystoreError: there is no file, or it names no address.
    """
    claimed = _read_keystore(path).get("address")
    try:
        address = bytes.fromhex(str(claimed).removeprefix("0x"))
    except ValueError:
        address = b""
    if len(address) != 20:
        raise KeystoreError(f"{path} names no address.")
    return address


def read_password(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    prompt: Callable[[], str] | None = None,
) -> str:
    """Return the password from a file, PROOFMESH_PASSWORD_FILE, PROOFMESH_PASSWORD or a prompt.

    One line end at the end of a file is not part of the password.

    Raises:
        NoPasswordError: no source has one, or it is empty or too long.
        KeystoreError: the file cannot be read.
    """
    environment = os.environ if environ is None else environ
    if file is None and (named := environment.get("PROOFMESH_PASSWORD_FILE")):
        file = Path(named)
    if file is not None:
        return _password_of(file)
    if password := environment.get("PROOFMESH_PASSWORD"):
        return password
    if prompt is None:
        raise NoPasswordError("No password was given for the keystore.")
    if not (password := prompt()):
        raise NoPasswordError("The password is empty.")
    return password


def _password_of(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_PASSWORD_BYTES + 1)
    except OSError as error:
        raise KeystoreError(f"The password file {file} cannot be read ({error.strerror}).") from None
    if len(raw) > MAX_PASSWORD_BYTES:
        raise NoPasswordError(f"The password file {file} is longer than {MAX_PASSWORD_BYTES} bytes.")
    try:
        password = raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise NoPasswordError(f"The password file {file} is not UTF-8 text.") from None
    if not password:
        raise NoPasswordError(f"The password file {file} is empty.")
    return password


def _draw_key() -> bytes:
    while True:
        key = secrets.token_bytes(32)
        try:
            Account(key)
        except Exception:
            continue  # zero or not below the curve's order: one draw in 2^128
        return key


def _read_keystore(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise KeystoreError(f"{path} is open to other users.", remedy=f"Run `chmod 600 {path}`.")
            raw = file.read(MAX_KEYSTORE_BYTES + 1)
    except FileNotFoundError:
        raise KeystoreError(f"There is no keystore at {path}.") from None
    except OSError as error:
        raise KeystoreError(f"{path} cannot be read ({error.strerror}).") from None
    try:
        keystore = bounded_json.loads(raw) if len(raw) <= MAX_KEYSTORE_BYTES else None
        if isinstance(keystore, dict) and keystore.get("version") == 3 and _affordable(keystore):
            return keystore
    except (ValueError, RecursionError):
        pass
    raise KeystoreError(f"{path} is not a Web3 Secret Storage v3 keystore.")


def _affordable(keystore: Mapping[str, Any]) -> bool:
    """Tell whether the file's own cost parameters can be run: 128 * n * r bytes, or PBKDF2 rounds."""
    crypto = keystore.get("crypto", keystore.get("Crypto"))
    parameters = crypto.get("kdfparams") if isinstance(crypto, dict) else None
    if not isinstance(parameters, dict):
        return False
    numbers = {name: parameters.get(name, 1) for name in ("n", "r", "p", "c")}
    if any(type(number) is not int or number < 1 for number in numbers.values()):
        return False
    memory = 128 * int(numbers["n"]) * int(numbers["r"])
    return memory <= _MAX_SCRYPT_MEMORY and numbers["p"] <= 16 and numbers["c"] <= _MAX_PBKDF2_ROUNDS
