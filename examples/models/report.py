# SPDX-License-Identifier: GPL-3.0-or-later
"""The page docs/benchmarks/accuracy.md from the figures of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from examples.models.measure import Metrics, entries

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "accuracy.md"
_HEAD = """# Real models, end to end

Written by `python examples/models/run.py --docs`; what each model is stands in `tests/models.toml`. Each is trained
on 70% of real data with a fixed seed, calibrated on rows of that part (all decisions as the float model's, no value
off by more than 0.01), compiled, audited, and proved on a row that was held out; the Escrow on a development chain
checks the proof and pays for it, and what the proof says is compared with onnxruntime. The figures of accuracy are of
all held-out rows, by the circuit's integer program without a proof each, against onnxruntime on the same file.

- Differ: held-out rows that the circuit decides otherwise than onnxruntime; the run fails beyond 0.5%, or one row.
- Largest error: of a probability, before shown scores are cut to 8 fractional bits on purpose.
- Majority: the accuracy of always saying the most frequent class.
- Proof: milliseconds with a warm key, witness and self-check included, on the machine of the run (2 shared cores).
- Bits: fractional bits of activations / of weights, as calibrated.
- `faces-distance` says whether two pictures' embeddings are near, one of them committed earlier. Its pairs are a
  picture and the same one, altered, or another; the data has no identities, and nothing is claimed about people. Its
  error is of the distance.
- `of-age` is a Circom circuit. `digits-ezkl` is a local proof by EZKL, at 7 bits, compared on that row: it has rows of
  a table where others have constraints, and settles no order.
"""
_ACCURACY = (
    "| model | held-out rows | majority | accuracy, float | accuracy, circuit | AUC, float | AUC, circuit | differ "
    "| largest error |"
)
_COST = "| model | bits | constraints | domain | proving key, MB | proof, ms | gas: register | verify | settle |"


def write(figures: Mapping[str, Metrics], page: Path = PAGE) -> None:
    """Write the page; the models stand in the order of tests/models.toml."""
    known = [each.name for each in entries() if each.name in figures]
    accuracy = [_accuracy(name, figures[name]) for name in known if "rows" in figures[name]]
    cost = [_cost(name, figures[name]) for name in known]
    tables = [_table(_ACCURACY, accuracy), _table(_COST, cost)]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join([_HEAD, "## Accuracy\n", tables[0], "\n## Cost\n", tables[1]]) + "\n")


def _table(head: str, lines: list[str]) -> str:
    rule = "|" + " --- |" + " ---: |" * (head.count("|") - 2)
    return "\n".join([head, rule, *lines])


def _accuracy(name: str, found: Metrics) -> str:
    shares = ("majority", "float_accuracy", "circuit_accuracy", "float_auc", "circuit_auc")
    error = found["max_error"]
    cells = [
        name, _whole(found, "rows"), *(_share(found.get(each)) for each in shares), _whole(found, "disagreements"),
        "-" if error is None else f"{error:.2g}",
    ]  # fmt: skip
    return _line(cells)


def _cost(name: str, found: Metrics) -> str:
    bits = f"{found['activation_bits']} / {found['weight_bits']}" if "activation_bits" in found else "-"
    size = found["key_bytes"] or 0
    rest = (_whole(found, each) for each in ("proving_ms", "register_gas", "verify_gas", "settle_gas"))
    return _line([name, bits, _whole(found, "constraints"), _whole(found, "domain"), f"{size / 1e6:.1f}", *rest])


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _whole(found: Metrics, name: str) -> str:
    value = found.get(name)
    return "-" if value is None else f"{value:,}"
