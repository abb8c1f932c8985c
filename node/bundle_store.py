# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundles of this node: in the data folder, fetched from peers, audited once, found by any id."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from contracts.records import Advice
from node.audit_records import Audited, AuditRecords
from node.bundle_index import BundleIndex
from node.bundle_quota import BundleQuota
from node.chain_view import ChainView
from node.executor import Executor
from node.model_choice import ModelBrokenError, model_of
from node.net import BundleServer, Transport, pull
from node.receipt import Program
from protocol.errors import AuditError, UsageError, WorkerLimitError
from proving.audit import AuditResult, audit, audit_folder
from proving.bundle import Bundle, load
from proving.manifest import Manifest, files_of, read_manifest
from proving.private_weights import weights_path


class BundleUnknownError(UsageError):
    """No bundle or model of this name is here."""

    code = "PM-BND-020"
    remedy = "Fetch it with `proofmesh model pull`, or see `proofmesh model list`."


@dataclass(frozen=True, slots=True)
class Served:
    """A bundle as a client orders by it, with what the Registry says of its model."""

    bundle: Bundle
    program_id: bytes
    model_id: bytes | None
    royalty_bps: int

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest


class BundleStore:
    """Bundles by content address in one folder; beside it what was audited, and an index of their use."""

    def __init__(
        self, folder: Path, powers_of_tau: Path | None = None, *, quota_bytes: int = 0, least_free_bytes: int = 0
    ) -> None:
        self._folder = folder
        self._powers_of_tau = powers_of_tau
        self._audits = AuditRecords(folder.parent / "audits", powers_of_tau)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.index = BundleIndex(folder.parent / "bundles.sqlite")
        self.quota = BundleQuota(folder, self.index, quota_bytes, least_free_bytes)

    @property
    def folder(self) -> Path:
        """Where the bundles are."""
        return self._folder

    def ids(self) -> tuple[bytes, ...]:
        """Return the ids of the bundles that are here whole."""
        names = sorted(path.name for path in self._folder.iterdir() if (path / "manifest.json").is_file())
        return tuple(bytes.fromhex(name) for name in names if len(name) == 64)

    def has(self, bundle_id: bytes) -> bool:
        """Return whether a bundle is here whole."""
        return (self._folder / bundle_id.hex() / "manifest.json").is_file()

    def load(self, bundle_id: bytes) -> Bundle:
        """Return a bundle, every byte checked.

        Raises:
            BundleUnknownError: it is not here. BundleError: it is damaged.
        """
        if not self.has(bundle_id):
            raise BundleUnknownError(f"Bundle {bundle_id.hex()} is not here.")
        self.index.used(bundle_id, time.time())
        return load(self._folder / bundle_id.hex(), bundle_id)

    def manifest(self, bundle_id: bytes) -> Manifest:
        """Return the manifest of a bundle that is here."""
        return read_manifest((self._folder / bundle_id.hex() / "manifest.json").read_bytes())

    def folder_of_program(self, program_id: bytes) -> str:
        """Return the folder of an audited bundle of a program, for the workers.

        Raises:
            BundleUnknownError: there is none.
        """
        for bundle_id in self.ids():
            known = self.audit_of(bundle_id)
            if known is not None and known.program_id == program_id:
                self.index.used(bundle_id, time.time())
                return str(self._folder / bundle_id.hex())
        raise BundleUnknownError(f"No audited bundle of program 0x{program_id.hex()} is here.")

    async def take(self, bundle: Bundle) -> Bundle:
        """Copy a loaded bundle from elsewhere into the store, with private weights beside it; return the copy."""
        if not self.has(bundle.id):
            await trio.to_thread.run_sync(self._copy, bundle)
        return self.load(bundle.id)

    def _copy(self, bundle: Bundle) -> None:
        target = self._folder / bundle.id.hex()
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".taking-") as temporary:
            made = shutil.copytree(bundle.folder, Path(temporary) / "bundle")
            if weights_path(bundle.folder).is_file():
                shutil.copy(weights_path(bundle.folder), weights_path(target))
            try:
                made.rename(target)
            except OSError:
                if not self.has(bundle.id):  # another job took it first
                    raise

    # --- room ----------------------------------------------------------------------------

    def keep_while_needed(self, programs: Callable[[], Iterable[bytes]]) -> None:
        """Never evict a bundle of a program that `programs()` names."""

        def needed() -> Iterable[bytes]:
            wanted = set(programs())
            return (each for each in self.ids() if (known := self.audit_of(each)) and known.program_id in wanted)

        self.quota.needed.append(needed)

    def tell_of_eviction(self, gone: Callable[[bytes], None]) -> None:
        """Call `gone(program id)` when the bundle of an audited program goes."""

        def tell(bundle_id: bytes) -> None:
            if (known := self.audit_of(bundle_id)) is not None:
                gone(known.program_id)

        self.quota.leaving.append(tell)

    # --- audit ---------------------------------------------------------------------------

    def audit_of(self, bundle_id: bytes) -> Audited | None:
        """Return what a passed audit found, None if there was none."""
        return self._audits.passed(bundle_id)

    async def audited(self, bundle: Bundle, workers: Executor) -> Audited:
        """Return the audit of a loaded bundle, made now if there was none.

        Raises:
            AuditError, BundleError: it is not what it says. WorkerLimitError: it needs more than a worker may have.
        """
        known = self.audit_of(bundle.id)
        if known is not None:
            return known
        self._audits.require_not_refused(bundle.id)
        return await self._audit(bundle, workers)

    async def audited_again(self, bundle_id: bytes, workers: Executor) -> None:
        """Read every byte of a bundle and audit it, whatever an earlier audit found.

        Raises:
            AuditError, BundleError: it is not what it says. BundleUnknownError: it is gone.
        """
        await self._audit(await trio.to_thread.run_sync(self.load, bundle_id), workers)

    async def _audit(self, bundle: Bundle, workers: Executor) -> Audited:
        folder = str(bundle.folder)
        try:
            result = await workers.run(audit_folder, folder, bundle.id, self._powers_of_tau, key=folder)
        except (AuditError, WorkerLimitError) as error:
            self._audits.refuse(bundle.id, error)
            raise
        return self._audits.remember(result)

    def audit_here(self, bundle: Bundle) -> AuditResult:
        """Audit a loaded bundle in this process, again if it was audited before, and keep the result.

        Raises:
            AuditError: it is not what it says.
        """
        try:
            result = audit(bundle, self._powers_of_tau)
        except AuditError as error:
            self._audits.refuse(bundle.id, error)
            raise
        self._audits.remember(result)
        return result

    def remember(self, result: AuditResult) -> Audited:
        """Keep an audit that passed elsewhere."""
        return self._audits.remember(result)

    # --- network -------------------------------------------------------------------------

    def serve(self, transport: Transport) -> None:
        """Give bundles to peers that ask for them by id."""
        BundleServer(transport, self._folder, files_of).start()

    async def pull(self, transport: Transport, bundle_id: bytes, sources: Sequence[str]) -> None:
        """Fetch a bundle from peers, after making room for it (bundle_quota.py).

        Raises:
            BundleUnavailableError, BundleRefusedError, BundleDiskError: see node/net/bundle_pull.py.
        """
        self.quota.fetching.add(bundle_id)
        try:
            if not self.has(bundle_id):
                self.index.fetched(bundle_id, time.time())
            room = self.quota.make_room
            await pull(transport, bundle_id, sources, self._folder, files_of, make_room=room)
        finally:
            self.quota.fetching.discard(bundle_id)

    # --- by any name ---------------------------------------------------------------------

    async def resolve(self, name: str | Path, chain: ChainView) -> Served:
        """Return the bundle that a folder, a bundle id or a model id names, checked byte by byte.

        Raises:
            BundleUnknownError: nothing here has that name.
            UsageError: no model, or one that must not be used; see node/model_choice.py.
        """
        path = Path(name)
        if (path / "manifest.json").is_file():
            # A copy: workers see no other folder, and the job needs it longer than the user may.
            found = await trio.to_thread.run_sync(load, path)
            if not self.has(found.id):
                self.index.fetched(found.id, time.time())
            bundle = await self.take(found)
            return await self._served(bundle, None, chain)
        identity = _hash_of(str(name))
        if self.has(identity):
            return await self._served(self.load(identity), None, chain)
        for published in await chain.models():
            if published.model_id == identity:
                return await self._served(self.load(published.record.bundle_id), identity, chain)
        raise BundleUnknownError(f"{str(name)[:80]} is no folder of a bundle, and no bundle or model here.")

    async def _served(self, bundle: Bundle, model_id: bytes | None, chain: ChainView) -> Served:
        program_id = bytes.fromhex(bundle.manifest.program_id)
        model = model_of(await chain.models(), bundle.id, program_id, model_id)
        if model is None:
            return Served(bundle, program_id, None, 0)
        advice, successor = await chain.advice_of(model.model_id)
        if advice is Advice.BROKEN:
            instead = f"; it names 0x{successor.hex()} instead" if any(successor) else ""
            raise ModelBrokenError(f"The publisher of model 0x{model.model_id.hex()} says that it is broken{instead}.")
        return Served(bundle, program_id, model.model_id, model.record.royalty_bps)


def program_of(manifest: Manifest) -> Program:
    """Return what the chain is told of a bundle's program."""
    return Program(
        verifying_key=manifest.words,
        layout=bytes.fromhex(manifest.layout),
        setup_id=bytes.fromhex(manifest.setup_id),
        dev=manifest.dev,
    )


def _hash_of(text: str) -> bytes:
    digits = text.removeprefix("0x")
    if len(digits) == 64:
        try:
            return bytes.fromhex(digits)
        except ValueError:
            pass
    raise BundleUnknownError(f"{text[:80]!r} is neither a folder of a bundle nor an id of 64 digits.")
