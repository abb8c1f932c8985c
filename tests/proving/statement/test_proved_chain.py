# SPDX-License-Identifier: GPL-3.0-or-later
"""A chain of two models with real proofs: the words that verify are the words that link."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from proving_statements import SECRETS, Compiled, classifier, compiled, dense, whole

from proving.constraints.files import wtns_bytes
from proving.groth16 import engine
from proving.groth16.dev_setup import dev_keys
from proving.importer import graph
from proving.settings import InputRange, ModelSettings, OutputSpec, Reveal
from proving.statement.commitment import Secrets
from proving.statement.opening import disclose, open_committed, parse, unseal

pytestmark = pytest.mark.slow


def proved(model: Compiled, raw: Sequence[int], secrets: Secrets, folder: Path) -> list[int]:
    """The words of a proof that verifies, and with any word changed does not."""
    path = folder / f"{model.layout.digest().hex()}.zkey"
    keys = dev_keys(model.circuit.system, model.layout.digest(), path)
    key = engine.load_zkey(path, hashlib.sha256(path.read_bytes()).hexdigest())
    witness = model.witness(raw, secrets)
    proof, words = engine.prove_unverified(key, wtns_bytes(witness)), model.words(witness)
    assert engine.verify(keys.verifying_key, proof, words)
    for place in range(len(words)):
        changed = [*words[:place], words[place] ^ 1, *words[place + 1 :]]
        assert not engine.verify(keys.verifying_key, proof, changed), f"word {place} is not bound"
    return words


def test_a_sealed_output_of_a_committed_intermediate(tmp_path: Path) -> None:
    fields = (InputRange("x", -8, 5, 4),)
    one = compiled(classifier(3), ModelSettings(fields, OutputSpec(Reveal.COMMITTED, score_bits=6)))
    nodes = (graph.Input(3), dense((0,), [[0.5, -1.0, 0.75]], [0.25]))
    head = graph.Head(1, graph.Link.NONE, ())
    taken = replace(one.layout.output_field, group=1)
    two = compiled(whole(nodes, head, 3), ModelSettings((taken,), OutputSpec(Reveal.SEALED)))

    raw = (3, -1, 7, 2)
    first = parse(one.layout, proved(one, raw, SECRETS, tmp_path))
    middle = open_committed(first, one.revealed(raw), SECRETS.output)
    secrets = replace(SECRETS, groups=(SECRETS.output,), blinding=41, output_key=42)
    second = parse(two.layout, proved(two, middle.integers, secrets, tmp_path))
    assert second.groups == {1: first.outputs[0]}
    (score,) = unseal(second, disclose(two.layout, middle.integers, secrets)).reals
    assert abs(score - (float(np.dot([0.5, -1.0, 0.75], middle.reals)) + 0.25)) < 2**-7
