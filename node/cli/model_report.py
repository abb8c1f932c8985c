# SPDX-License-Identifier: GPL-3.0-or-later
"""What a bundle is, for people: its inputs, what the proof reveals, accuracy, and what a proof costs."""

from __future__ import annotations

import json
from dataclasses import asdict

from node.cli.arguments import Session
from proving.backends.base import Estimate, Size
from proving.backends.estimate import estimate
from proving.bundle import Bundle
from proving.manifest import PROVING_KEY_NAME, Manifest
from proving.settings import InputRange, Visibility, WeightMode

FIELDS_SHOWN = 8


def describe(session: Session, bundle: Bundle) -> None:
    """Print a bundle's manifest."""
    manifest = bundle.manifest
    session.output.say(f": bundle {bundle.id.hex()}", lead=manifest.name)
    rows = [
        ["program", f"0x{manifest.program_id}"],
        ["output", manifest.output.meaning],
        ["inputs", inputs_line(manifest)],
        ["weights", _weights(manifest)],
        ["circuit", f"{manifest.constraints:,} constraints, hash {manifest.circuit_hash[:16]}"],
        ["keys", "dev: anybody could forge proofs; not for real funds" if manifest.dev else manifest.setup_kind],
        *[[f"accuracy: {metric.name}", metric.value] for metric in manifest.accuracy],
        *[[f"trained: {metric.name}", metric.value] for metric in manifest.provenance.metrics],
        ["licence", manifest.provenance.licence or "-"],
        ["about", manifest.provenance.description or "-"],
    ]
    session.output.table("Manifest", ["what", ""], rows)
    session.output.result({"bundle_id": bundle.id, "manifest": json.loads(manifest.to_bytes())})


def inspect(session: Session, bundle: Bundle) -> None:
    """Print where the constraints go and what a proof costs on this machine."""
    manifest = bundle.manifest
    cost = expected_cost(manifest)
    layers = [[each.name, f"{each.constraints:,}", f"{each.constraints / manifest.constraints:.1%}"]
              for each in manifest.layers]
    key = manifest.file(PROVING_KEY_NAME).size
    session.output.say(f": {manifest.output.meaning}", lead=manifest.name)
    session.output.table("Constraints", ["layer", "constraints", "share"], layers)
    session.output.table(
        "Cost of a proof",
        ["what", ""],
        [
            ["constraints", f"{manifest.constraints:,} (domain {manifest.domain:,})"],
            ["proving, key warm", f"{cost.proving_ms:.0f} ms"],
            ["proving key", f"{key / 1e6:.1f} MB"],
            ["memory", f"{cost.memory_bytes / 1e6:.0f} MB"],
            ["proof", f"{cost.proof_bytes} bytes, {manifest.public_inputs} public inputs"],
            ["verification alone", f"{cost.gas:,} gas"],
            *[[f"accuracy: {metric.name}", metric.value] for metric in manifest.accuracy],
        ],
    )
    session.output.result(
        {
            "bundle_id": bundle.id,
            "name": manifest.name,
            "meaning": manifest.output.meaning,
            "layers": [each.model_dump() for each in manifest.layers],
            "constraints": manifest.constraints,
            "domain": manifest.domain,
            "public_inputs": manifest.public_inputs,
            "proving_key_bytes": key,
            "estimate": {name: value for name, value in asdict(cost).items() if name != "size"},
            "accuracy": {metric.name: metric.value for metric in manifest.accuracy},
        }
    )


def expected_cost(manifest: Manifest) -> Estimate:
    """Return what a proof costs, from the manifest alone."""
    return estimate(Size(manifest.constraints, manifest.domain, manifest.public_inputs, manifest.wires))


def inputs_line(manifest: Manifest) -> str:
    """Return the input fields in one line."""
    shown = [_field(each) for each in manifest.inputs[:FIELDS_SHOWN]]
    more = len(manifest.inputs) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _field(each: InputRange) -> str:
    count = f" x {each.count}" if each.count > 1 else ""
    public = " public" if each.visibility is Visibility.PUBLIC else ""
    group = f" group {each.group}" if each.group else ""
    return f"{each.name}{count} [{each.low}, {each.high}]{public}{group}"


def _weights(manifest: Manifest) -> str:
    mode = manifest.settings.weights.mode
    if mode is WeightMode.CONSTANT:
        return "in the circuit, public"
    return f"private ({mode.value}), committed in {manifest.weight_words:,} words"
