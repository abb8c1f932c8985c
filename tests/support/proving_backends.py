# SPDX-License-Identifier: GPL-3.0-or-later
"""A backend that proves nothing: what `registry` and `auto` are tested with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from proving.backends.base import (
    Appraisal,
    Compiled,
    Estimate,
    Format,
    KeyPair,
    ModelSource,
    Proved,
    Size,
    Traits,
)
from proving.settings import InputRange, ModelSettings, OutputSpec, Reveal
from proving.statement.commitment import Secrets


class PretendBackend:
    """Says about every model what it was made to say."""

    def __init__(
        self, name: str, proving_ms: float = 100.0, reasons: tuple[str, ...] = (), market: bool = True
    ) -> None:
        self.name = name
        self.traits = Traits(market, market, market)
        self.appraised = 0
        self._proving_ms = proving_ms
        self._reasons = reasons

    def appraise(self, source: ModelSource) -> Appraisal:
        self.appraised += 1
        return Appraisal(self._reasons, None if self._reasons else self.estimate(Size(3000, 4096, 3)))

    def compile(self, source: ModelSource) -> Compiled:
        return Compiled(self.name, bytes(32), Size(3000, 4096, 3), None)

    def setup(self, compiled: Compiled, folder: Path) -> KeyPair:
        return KeyPair(folder / "key", "", b"", bytes(32), True)

    def statement(
        self, compiled: Compiled, inputs: Sequence[int], secrets: Secrets, binding: int
    ) -> tuple[int, ...]:
        raise NotImplementedError

    def prove(
        self, compiled: Compiled, keys: KeyPair, inputs: Sequence[int], secrets: Secrets, binding: int
    ) -> Proved:
        return Proved(b"", (), 0.0, 0.0)

    def verify(self, verifying_key: bytes, proof: bytes, public_inputs: Sequence[int]) -> bool:
        return False

    def estimate(self, size: Size) -> Estimate:
        return Estimate(size, self._proving_ms, 1000.0, 2_000_000, 50_000_000, 256, 230_000)


def pretend() -> PretendBackend:
    """Return a backend named `pretend`: what an entry point would name."""
    return PretendBackend("pretend")


def source() -> ModelSource:
    """Return a model that nobody reads."""
    settings = ModelSettings((InputRange("x", 0, 8),), OutputSpec(Reveal.PUBLIC))
    return ModelSource(Format.ONNX, "model.onnx", {"model.onnx": b""}, settings)
