# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of other proof systems: a node reads them from a real Registry, and says that it does not serve them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from escrow_market import Market, account, market
from external_program import External, register_external
from market_phases import run
from market_samples import AT, a_prover, order_seen

from contracts import bindings
from contracts.events import VerifierRegistered, event_topic
from market import prover, refusals
from market.effects import SendRefusal
from node.chain.records import Log
from node.chain_view import AnotherProofSystemError, ChainView, UnknownOnChainError, open_chain
from node.external_programs import MOST_PROGRAMS, ExternalPrograms
from node.journal import Journal
from node.model_history import history_of
from node.runtime import tariff_of
from node.settings import ProverSettings
from protocol.errors import RpcMalformedError
from protocol.statement import external_program_id


@pytest.fixture(scope="module")
def chain() -> Iterator[Market]:
    with market(("prover",)) as running:
        yield running


@pytest.fixture(scope="module")
def external(chain: Market) -> External:
    return register_external(chain)


async def test_the_registry_is_read_again_for_what_is_new(chain: Market, external: External, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        async with open_chain(chain.settings(tmp_path), account("prover"), journal) as view:
            known = ExternalPrograms(view)
            assert known.verifier_of(external.program_id) == b""
            await known.look()
            assert known.verifier_of(external.program_id) == external.code_hash
            chain.register(
                account("prover"), bindings.register_verifier(external.verifier, b"\x07" * 32, bytes(32), False)
            )
            newer = external_program_id(external.verifier, external.code_hash, b"\x07" * 32, bytes(32), False)
            assert known.verifier_of(newer) == b""
            await known.look()
            assert known.verifier_of(newer) == external.code_hash
            await _has_no_key(view, external)
            found = await history_of(view, external.model_id)
            assert found.verifier == (external.verifier, external.code_hash)
            assert (await history_of(view, chain.model_id)).verifier is None


async def test_a_log_that_no_contract_writes_is_an_error_of_the_rpc(
    chain: Market, external: External, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one that ends the node: what asks again and again takes it for an RPC that fails."""
    with Journal(tmp_path / "journal") as journal:
        async with open_chain(chain.settings(tmp_path), account("prover"), journal) as view:
            (good, _), *_ = await view.past("Registry", VerifierRegistered)

            async def cut(where: object, first: int) -> list[Log]:
                return [replace(good, data=good.data[:-1])]

            monkeypatch.setattr(view.client, "past_logs", cut)
            with pytest.raises(RpcMalformedError, match="cannot be read"):
                await ExternalPrograms(view).look()
            topic = event_topic("PeerDirectory", "Announced")

            async def strange(where: object, first: int) -> list[Log]:
                return [replace(good, topics=(topic,))]

            monkeypatch.setattr(view.client, "past_logs", strange)
            with pytest.raises(RpcMalformedError, match="cannot be read"):
                await view.announced(0)


async def _has_no_key(view: ChainView, external: External) -> None:
    with pytest.raises(AnotherProofSystemError, match=external.verifier.hex()):
        await view.verifying_key(external.program_id)
    with pytest.raises(UnknownOnChainError):
        await view.program(b"\x77" * 32)


def test_an_order_of_such_a_program_is_refused_by_name() -> None:
    state = a_prover()
    program = order_seen().order.program_id
    assert program in state.programs
    seen = replace(order_seen(), verifier=b"\x0a" * 32)
    _, effects = run(prover, state, [seen])
    (told,) = [effect for effect in effects if isinstance(effect, SendRefusal)]
    assert told.code == refusals.VERIFIER_NOT_ALLOWED and "verifier contract" in refusals.explain(told.code)
    allowing = replace(state, tariff=replace(state.tariff, verifiers=frozenset((b"\x0a" * 32,))))
    unserved = replace(allowing, programs={})
    _, effects = run(prover, unserved, [replace(seen, at=AT)])
    (told,) = [effect for effect in effects if isinstance(effect, SendRefusal)]
    assert told.code == refusals.UNKNOWN_PROGRAM


def test_who_registers_without_end_pushes_out_the_oldest() -> None:
    known = ExternalPrograms(None)  # type: ignore[arg-type]
    for number in range(MOST_PROGRAMS + 2):
        identity = number.to_bytes(32)
        known.note(VerifierRegistered(identity, bytes(20), bytes(20), b"\x01" * 32, bytes(32), bytes(32), False))
    assert [known.verifier_of(number.to_bytes(32)) for number in (0, 1)] == [b"", b""]
    assert known.verifier_of((2).to_bytes(32)) and known.verifier_of((MOST_PROGRAMS + 1).to_bytes(32))


def test_the_list_of_the_settings_reaches_the_tariff(chain: Market, tmp_path: Path) -> None:
    listed = ProverSettings(verifiers=("0x" + "0a" * 32, "0B" * 32))
    chosen = chain.settings(tmp_path).model_copy(update={"prover": listed})
    assert tariff_of(chosen).verifiers == {b"\x0a" * 32, b"\x0b" * 32}
