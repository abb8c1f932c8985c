# SPDX-License-Identifier: GPL-3.0-or-later
"""What the public inputs of a program mean, hashed into its program id."""

from __future__ import annotations

import json

from protocol.hashing import keccak256
from proving.commitment import schema_hash
from proving.ir import Program
from proving.settings import OutputMode


def layout_of(program: Program) -> bytes:
    """Return Keccak-256 of the canonical description of the statement `commitment, outputs..., binding`."""
    form = program.output
    output: dict[str, object] = {"mode": form.mode.value}
    if form.mode is OutputMode.PREDICATE:
        output |= {"threshold": str(form.threshold), "scale_bits": program.scale_bits}
    else:
        output |= {
            "count": len(program.score.biases),
            "width": form.width,
            "per_element": form.per_element,
            "offset": str(form.offset),
            "scale_bits": program.scale_bits - form.shift,
        }
    description = {
        "format": "proofmesh.layout.v1",
        "schema": f"{schema_hash(program.inputs):064x}",
        "order": ["commitment", *["output"] * program.output_elements, "binding"],
        "output": output,
    }
    return keccak256(json.dumps(description, sort_keys=True, separators=(",", ":")).encode())
