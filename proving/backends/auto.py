# SPDX-License-Identifier: GPL-3.0-or-later
"""`auto`: the cheapest backend that can prove a model and whose proofs serve the purpose, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.errors import NoBackendError
from proving.backends.base import Appraisal, Backend, Estimate, ModelSource


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend and what it says of the model; `reasons` also hold what speaks against it for this purpose."""

    name: str
    reasons: tuple[str, ...]
    estimate: Estimate | None


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen backend, one sentence that says why, and everything that was considered, in order of preference."""

    name: str
    why: str
    candidates: tuple[Candidate, ...]


def choose(source: ModelSource, backends: Sequence[Backend], *, market: bool = True) -> Choice:
    """Choose the backend with the least expected proving time, among those that can prove the model.

    `market`: the proof must settle an order, so a backend whose proofs the Escrow does not accept, or which
    neither commits to inputs nor binds to an order, is out.

    Raises:
        NoBackendError: none can; the message has every backend's reasons.
    """
    candidates = sorted((_candidate(each, source, market) for each in backends), key=_rank)
    best = candidates[0] if candidates else None
    if best is None or best.reasons:
        said = " ".join(f"{each.name}: {' '.join(each.reasons)}" for each in candidates)
        raise NoBackendError(f"No backend can prove this model. {said}".strip())
    return Choice(best.name, _why(best, candidates[1:]), tuple(candidates))


def _candidate(backend: Backend, source: ModelSource, market: bool) -> Candidate:
    reasons = _unfit(backend) if market else ()
    # What is out anyway is not appraised: an appraisal may compile the model.
    appraisal = Appraisal(reasons) if reasons else backend.appraise(source)
    return Candidate(backend.name, appraisal.reasons, appraisal.estimate)


def _unfit(backend: Backend) -> tuple[str, ...]:
    traits = backend.traits
    checks = (
        (traits.settles, "the Escrow does not accept its proofs."),
        (traits.commits, "its statement has no commitment to the inputs."),
        (traits.binds, "its proofs are not bound to an order."),
    )
    return tuple(reason for fit, reason in checks if not fit)


def _rank(candidate: Candidate) -> tuple[bool, float, str]:
    cost = candidate.estimate.proving_ms if candidate.estimate else float("inf")
    return bool(candidate.reasons), cost, candidate.name


def _why(best: Candidate, others: Sequence[Candidate]) -> str:
    said = [f"{best.name}: {_cost(best.estimate)}"]
    for other in others:
        said.append(f"{other.name}: {other.reasons[0].rstrip('.')}" if other.reasons else
                    f"{other.name}: {_cost(other.estimate)}")  # fmt: skip
    return "; ".join(said) + "."


def _cost(estimate: Estimate | None) -> str:
    if estimate is None:
        return "no estimate"
    return (
        f"{estimate.size.rows:,} rows, about {duration(estimate.proving_ms)} a proof, "
        f"key {estimate.key_bytes / 1e6:,.1f} MB, {estimate.memory_bytes / 1e6:,.0f} MB of memory"
    )


def duration(milliseconds: float) -> str:
    """Return a time for people: `84 ms`, `1.9 s`, `12 min`."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 120_000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds / 60_000:.0f} min"
