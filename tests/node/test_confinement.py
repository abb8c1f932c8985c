# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker cannot do, whatever a bundle makes it try; and that it can do its work all the same."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import hostile_jobs as hostile
import numpy
import pytest
import trio
from devnet_market import small_bundle
from onnx import helper
from proving_circom import template
from proving_onnx_models import model, tensor

from node.confine import confinement, landlock, seccomp
from node.confine.results import AnswerRefusedError, check
from node.workers import JobLimits, WorkerPool
from protocol.errors import AuditError, ModelError, WorkerDiedError, WorkerLimitError
from proving.audit import audit_folder
from proving.bundle import Bundle, entry_of
from proving.groth16.verifying_key import canonical_json

MEMORY = 512 << 20
files_are_confined = pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock")
calls_are_filtered = pytest.mark.skipif(not seccomp.available(), reason="the filter is for Linux on x86-64")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("store"))


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[WorkerPool]:
    limits = JobLimits(memory_bytes=MEMORY, seconds=20, scratch_bytes=8 << 20)
    async with WorkerPool(1, limits=limits, readable=[tmp_path / "bundles"], scratch=tmp_path / "scratch") as opened:
        yield opened


@pytest.mark.parametrize("bomb", [hostile.eat_memory, hostile.eat_shared_memory, hostile.fill_the_disk])
async def test_what_takes_too_much_is_ended_and_the_next_job_runs(pool: WorkerPool, bomb: Callable[[], Any]) -> None:
    with pytest.raises(WorkerLimitError, match=r"PM-WRK-002.*MiB of"):
        await pool.run(bomb)
    assert await pool.run(hostile.compute_in_a_thread) == 499_500


async def test_what_takes_too_long_is_ended() -> None:
    async with WorkerPool(1, limits=JobLimits(seconds=1)) as pool:
        with pytest.raises(WorkerLimitError, match="1 s"):
            await pool.run(hostile.compute_for_ever)


@calls_are_filtered
@pytest.mark.parametrize(
    "attempt",
    [
        hostile.fork_for_ever,
        hostile.start_a_program,
        hostile.send_a_datagram,
        hostile.signal_parent,
        hostile.limit_parent,
    ],
)
async def test_no_process_no_network_no_signal(pool: WorkerPool, attempt: Callable[[], Any]) -> None:
    with pytest.raises(PermissionError):
        await pool.run(attempt)


@calls_are_filtered
async def test_a_listener_of_this_machine_is_out_of_reach(pool: WorkerPool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        hostile.connect(port)  # it could be reached
        with pytest.raises(PermissionError):
            await pool.run(hostile.connect, port)


@files_are_confined
async def test_of_this_users_files_only_the_bundles_are_read_and_none_is_written(
    pool: WorkerPool, tmp_path: Path
) -> None:
    for name in ("bundles", "vault"):
        (tmp_path / name).mkdir()
    for path in ("keystore.json", "vault/input-1", "journal.sqlite", "bundles/model.onnx"):
        (tmp_path / path).write_text("something")
    async with WorkerPool(1, readable=[tmp_path / "bundles"]) as confined:
        assert await confined.run(hostile.read, str(tmp_path / "bundles/model.onnx")) == b"something"
        secrets = ["keystore.json", "vault/input-1", "journal.sqlite"]
        for path in [*(str(tmp_path / name) for name in secrets), "/etc/passwd", "/proc/1/environ"]:
            with pytest.raises(PermissionError):
                await confined.run(hostile.read, path)
        for path in ("bundles/model.onnx", "bundles/new", "keystore.json"):
            with pytest.raises(PermissionError):
                await confined.run(hostile.write, str(tmp_path / path))


async def test_what_a_job_writes_is_gone_when_it_ends(pool: WorkerPool, tmp_path: Path) -> None:
    path = Path(await pool.run(hostile.leave_a_file))
    assert path.is_relative_to(tmp_path / "scratch") and not path.exists()


async def test_settings_in_the_environment_stay_with_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROOFMESH_PASSWORD", "secret")
    async with WorkerPool(1) as pool:
        assert await pool.run(hostile.environment) == []


@pytest.mark.parametrize("answer", [hostile.answer_with_a_call, hostile.fail_with_a_call])
async def test_an_answer_that_would_run_code_in_the_node_is_refused(
    pool: WorkerPool, tmp_path: Path, answer: Callable[[str], Any]
) -> None:
    with pytest.raises(WorkerDiedError, match="refused"):
        await pool.run(answer, str(tmp_path / "escaped"))
    assert not (tmp_path / "escaped").exists()
    assert await pool.run(hostile.compute_in_a_thread) == 499_500


async def test_an_error_of_another_package_comes_back_by_its_name(pool: WorkerPool) -> None:
    with pytest.raises(RuntimeError, match=r"struct\.error in a worker"):
        await pool.run(hostile.raise_what_a_package_raises)


async def test_an_answer_that_is_too_large_is_refused(pool: WorkerPool) -> None:
    with pytest.raises(WorkerDiedError, match="refused"):
        await pool.run(hostile.answer_much)


async def test_a_worker_cannot_end_the_node(pool: WorkerPool) -> None:
    with pytest.raises(WorkerDiedError, match="refused"):
        await pool.run(hostile.end_the_node)


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnode.workers\nsubprocess\n.",
        b"cproving.backends.limited_process\nrun\n.",
        b"\x80\x04\x8c\x0bnode.config\x8c\x0bjson.loads\x93.",
        b"",
        b"\x80\x05",
    ],
)
def test_a_pickle_that_names_a_function_is_refused(data: bytes) -> None:
    with pytest.raises(AnswerRefusedError):
        check(data)


async def test_a_bundle_is_audited_in_confinement(bundle: Bundle) -> None:
    async with WorkerPool(1, readable=[bundle.folder]) as pool:
        result = await pool.run(audit_folder, str(bundle.folder), bundle.id, None)
        assert result.program_id.hex() == bundle.manifest.program_id
        with pytest.raises(AuditError, match="powers of tau"):
            await pool.run(hostile.be_refused)


async def test_a_circuit_in_circom_is_compiled_in_confinement() -> None:
    text = template("signal input a;\nsignal output b;\nb <== a * a;")
    async with WorkerPool(1) as pool:
        assert await pool.run(hostile.compile_circom, text) == hostile.compile_circom(text)
        with pytest.raises(ModelError, match="does not compile"):
            await pool.run(hostile.compile_circom, "no circuit")


def _slow_to_compile() -> bytes:
    random = numpy.random.default_rng(1)
    shapes = ((4, 2_000), (2_000, 2_000), (2_000, 1))
    weights = [tensor(f"W{n}", random.normal(size=shape)) for n, shape in enumerate(shapes)]
    nodes, last = [], "X"
    for number in range(3):
        nodes.append(helper.make_node("MatMul", [last, f"W{number}"], [f"M{number}"]))
        nodes.append(helper.make_node("Relu", [f"M{number}"], [last := f"R{number}"]))
    return bytes(model(nodes, (None, 4), weights, results=(last,)).SerializeToString())


async def test_a_model_that_takes_for_ever_to_compile_costs_its_limit(bundle: Bundle, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle.folder, tmp_path / "hostile"))
    (folder / "model.onnx").write_bytes(_slow_to_compile())
    fields = json.loads((folder / "manifest.json").read_bytes())
    for each in fields["files"]:
        each.update(entry_of(folder / each["name"]).model_dump())
    manifest = canonical_json(fields).encode()
    (folder / "manifest.json").write_bytes(manifest)
    async with WorkerPool(1, limits=JobLimits(seconds=2), readable=[folder]) as pool:
        with trio.fail_after(60), pytest.raises(WorkerLimitError, match="2 s"):
            await pool.run(audit_folder, str(folder), sha256(manifest).digest(), None)


def test_what_the_kernel_does_not_offer_is_known() -> None:
    assert confinement.expected() == confinement.Confined(landlock.abi() > 0, seccomp.available())
