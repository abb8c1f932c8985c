# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node remembers of the chain, in its journal: signed transactions and recent blocks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from node.chain.records import Log
from node.crash_point import reached
from node.journal import Journal, checksum
from protocol.errors import JournalCorruptError


@dataclass(frozen=True)
class Block:
    """A block as the market sees it: identity, time in seconds, logs of the watched contracts."""

    number: int
    hash: bytes
    parent: bytes
    timestamp: int
    logs: tuple[Log, ...]


@dataclass(frozen=True)
class SignedTransaction:
    """A raw transaction; attempts of one key share the nonce and differ in fee."""

    key: str
    sender: bytes
    nonce: int
    attempt: int
    call: bytes
    hash: bytes
    raw: bytes


class TransactionStore:
    """Signed transactions, written before they are broadcast."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def add(self, signed: SignedTransaction) -> None:
        """Keep a transaction; when this returns, a crash does not lose it."""
        s = signed
        crc = checksum(s.hash, s.key, s.sender, s.nonce, s.attempt, s.call, s.raw)
        with self._journal.transaction() as database:
            database.execute(
                "INSERT INTO transactions (hash, key, sender, nonce, attempt, call, raw, checksum)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (s.hash, s.key, s.sender, s.nonce, s.attempt, s.call, s.raw, crc),
            )
        reached("transaction signed")

    def attempts(self, key: str) -> list[SignedTransaction]:
        """Return all attempts of a key, first to last."""
        return self._load("key = ? ORDER BY attempt", key)

    def unfinished(self, sender: bytes) -> list[SignedTransaction]:
        """Return what was signed by an account and is not known to be mined, by nonce and attempt."""
        return self._load("sender = ? AND done = 0 ORDER BY nonce, attempt", sender)

    def finish(self, key: str) -> None:
        """Mark the transaction of a key as mined."""
        with self._journal.transaction() as database:
            database.execute("UPDATE transactions SET done = 1 WHERE key = ?", (key,))
        reached("transaction mined")

    def _load(self, where: str, value: object) -> list[SignedTransaction]:
        columns = "key, sender, nonce, attempt, call, hash, raw, checksum"
        found = []
        for *values, crc in self._journal.select(f"SELECT {columns} FROM transactions WHERE {where}", value):
            s = SignedTransaction(*values)
            if checksum(s.hash, s.key, s.sender, s.nonce, s.attempt, s.call, s.raw) != crc:
                raise JournalCorruptError(f"The signed transaction {s.key} does not match its checksum.")
            found.append(s)
        return found


class BlockStore:
    """The last blocks that were handled, so that a restart can tell what the chain replaced."""

    def __init__(self, journal: Journal, *, window: int) -> None:
        self._journal = journal
        self.window = window

    def load(self) -> list[Block]:
        """Return the blocks, oldest first."""
        blocks = []
        for number, blob, crc in self._journal.select(
            "SELECT number, blob, checksum FROM blocks ORDER BY number"
        ):
            if checksum(number, blob) != crc:
                raise JournalCorruptError(f"The followed block {number} does not match its checksum.")
            blocks.append(_decode(blob))
        return blocks

    def save(self, undone: Sequence[Block], added: Sequence[Block]) -> None:
        """Remove and add blocks, and forget those that fall out of the window; all or nothing."""
        with self._journal.transaction() as database:
            for block in undone:
                database.execute("DELETE FROM blocks WHERE number = ?", (block.number,))
            for block in added[-self.window :]:
                blob = _encode(block)
                database.execute(
                    "REPLACE INTO blocks VALUES (?, ?, ?)", (block.number, blob, checksum(block.number, blob))
                )
            database.execute(
                "DELETE FROM blocks WHERE number <= (SELECT max(number) FROM blocks) - ?", (self.window,)
            )


def _encode(block: Block) -> bytes:
    logs = [
        [
            log.address.hex(),
            [t.hex() for t in log.topics],
            log.data.hex(),
            log.transaction_hash.hex(),
            log.index,
        ]
        for log in block.logs
    ]
    return json.dumps([block.number, block.hash.hex(), block.parent.hex(), block.timestamp, logs]).encode()


def _decode(blob: bytes) -> Block:
    number, block_hash, parent, timestamp, logs = json.loads(blob)
    identity = bytes.fromhex(block_hash)
    return Block(
        number,
        identity,
        bytes.fromhex(parent),
        timestamp,
        tuple(
            Log(
                bytes.fromhex(address),
                tuple(bytes.fromhex(topic) for topic in topics),
                bytes.fromhex(data),
                number,
                identity,
                bytes.fromhex(transaction),
                index,
            )
            for address, topics, data, transaction, index in logs
        ),
    )
