# SPDX-License-Identifier: GPL-3.0-or-later
"""What a prover serves: the bundles its operator named, fetched, audited, then offered to the market."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
import trio

from node.bundle_store import BundleStore
from node.calibration import bid_estimate, read_calibration
from node.mending import keep_whole
from node.runtime import Node
from protocol.errors import BundleDiskError, BundleRefusedError, BundleUnavailableError, ProofmeshError
from proving.private_weights import require_weights
from proving.prover import warm_up

RETRY_SECONDS = 2.0
LONGEST_RETRY = 60.0
WARM_WORKERS = 2
"""Workers that load a program before it is offered; the others do when they get its first job."""

log = structlog.get_logger("proofmesh.serving")


async def keep_serving(node: Node, bundle_ids: Sequence[bytes]) -> None:
    """Serve every bundle of the store and those named; keep asking for what no peer has yet."""
    store = node.context.bundles
    store.quota.named |= set(bundle_ids)
    wanted = sorted({*bundle_ids, *store.ids()})
    if not wanted:
        log.warning("no bundle to serve; name one with --bundle or put it under prover.bundles")
    async with trio.open_nursery() as nursery:
        for bundle_id in wanted:
            nursery.start_soon(_serve, node, store, bundle_id)


async def _serve(node: Node, store: BundleStore, bundle_id: bytes) -> None:
    wait = RETRY_SECONDS
    while not store.has(bundle_id):
        sources = [peer.peer for peer in node.context.transport.peers() if peer.connected]
        try:
            await store.pull(node.context.transport, bundle_id, sources)
        except (BundleUnavailableError, BundleDiskError) as error:
            level = log.info if isinstance(error, BundleUnavailableError) else log.error
            level("bundle not there yet", bundle=bundle_id.hex(), code=error.code, wait_seconds=wait)
            await trio.sleep(wait)
            wait = min(LONGEST_RETRY, wait * 1.5)
        except BundleRefusedError as error:
            log.error("bundle refused", bundle=bundle_id.hex(), code=error.code, reason=error.message)
            return
    try:
        bundle = await trio.to_thread.run_sync(store.load, bundle_id)
        require_weights(bundle)
        audit = await store.audited(bundle, node.context.workers)
    except ProofmeshError as error:
        log.error("bundle refused", bundle=bundle_id.hex(), code=error.code, reason=error.message)
        return
    await _warm(node, str(bundle.folder))
    proving_ms = bid_estimate(audit.proving_ms, bundle.manifest.domain, read_calibration(node.settings.data_dir))
    node.serve(audit.program_id, proving_ms)
    log.info(
        "serving",
        bundle=bundle_id.hex()[:16],
        program=audit.program_id.hex()[:16],
        proving_ms=proving_ms,
    )
    await keep_whole(
        audit.program_id,
        lambda: node.is_broken(audit.program_id),
        lambda: store.audited_again(bundle_id, node.context.workers),
        lambda: node.serve(audit.program_id, proving_ms),
    )


async def _warm(node: Node, folder: str) -> None:
    """Let workers load the program, so that no first job waits for a process to start and a key to be read."""
    workers = node.context.workers

    async def load() -> None:
        try:
            await workers.run(warm_up, folder, key=folder)
        except ProofmeshError as error:
            log.warning("a worker is not warm", code=error.code)

    async with trio.open_nursery() as nursery:
        # At once, so that each takes another worker; the audit's is one of them.
        for _ in range(min(WARM_WORKERS, workers.size)):
            nursery.start_soon(load)
