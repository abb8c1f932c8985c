# SPDX-License-Identifier: GPL-3.0-or-later
"""A Circom circuit as a model: compiled inside the statement, determined by its inputs, deterministic."""

from __future__ import annotations

import pytest
from proving_circom import circuit, example, of_age, template

from protocol.errors import (
    BackendLimitError,
    CompileSettingsError,
    MalformedCircuitError,
    ModelError,
    UndeterminedOutputError,
)
from proving.backends import circom_key_file
from proving.backends.base import Format, ModelSource
from proving.backends.circom import backend
from proving.backends.circom_compiler import compile_circuit

A, Y = '[[input]]\nname = "a"\nlow = 0\nbits = 8\n', '[[output]]\nname = "y"\nbits = 16\n'
SQUARE = template("signal input a; signal output y; y <== a * a;")


def test_the_statement_is_commitment_public_inputs_outputs_binding() -> None:
    compiled = example()
    assert compiled.circuit.layout.order == ("commitment", "group 1", "public input", "output", "binding")
    assert compiled.circuit.system.public == 5
    assert compiled.circuit_hash == backend().compile(of_age()).circuit_hash


def test_an_appraisal_gives_the_cost_or_the_reason() -> None:
    good = backend().appraise(circuit(SQUARE, A + Y))
    assert good.supported and good.estimate is not None
    assert good.estimate.size.rows < 1500
    bad = backend().appraise(circuit(template("signal input a; signal output y; y <== a * a * a;"), A + Y))
    assert not bad.supported and "quadratic" in bad.reasons[0]
    onnx = ModelSource(Format.ONNX, "m.onnx", {"m.onnx": b""}, of_age().settings)
    assert not backend().appraise(onnx).supported


@pytest.mark.parametrize(
    "body",
    [
        "signal input a; signal output y; y <-- a;",
        "signal input a; signal output y; signal s <== a * a; y <-- a; y * y === s;",
        # The inverse is a free choice where a is 0, and this circuit shows it.
        "signal input a; signal output y; signal output free; signal i; i <-- a == 0 ? 0 : 1 / a; y <== a * i;"
        "y * (1 - y) === 0; a * (1 - y) === 0; free <== i * i;",
    ],
)
def test_an_output_that_the_inputs_do_not_determine_is_refused(body: str) -> None:
    shown = Y if "free" not in body else Y.replace('"y"', '"free"')
    with pytest.raises(UndeterminedOutputError):
        backend().compile(circuit(template(body), A + shown))


def test_circomlibs_comparators_are_shown_determined() -> None:
    text = template(
        "signal input a; signal output y; component z = IsZero(); z.in <== a - 7;"
        "component l = LessThan(9); l.in[0] <== a; l.in[1] <== 100; y <== z.out; signal output x <== l.out;",
        include="comparators.circom",
    )
    shown = Y + Y.replace('"y"', '"x"')
    assert backend().compile(circuit(text, A + shown)).circuit.system.public == 3


def test_the_map_and_the_circuit_must_agree_on_what_is_public() -> None:
    listed = template("signal input a; signal output y; y <== a * a;", public="a")
    with pytest.raises(CompileSettingsError, match="'a' is public in the circuit only"):
        backend().compile(circuit(listed, A + Y))
    with pytest.raises(CompileSettingsError, match="in the map only"):
        backend().compile(circuit(SQUARE, A + 'visibility = "public"\n' + Y))


@pytest.mark.parametrize(
    "described",
    [A + 'shape = [2]\n' + Y, A + '[[input]]\nname = "b"\nlow = 0\nbits = 8\n' + Y, A + Y.replace('"y"', '"x"')],
)
def test_a_map_of_other_signals_does_not_compile(described: str) -> None:
    with pytest.raises(ModelError):
        backend().compile(circuit(SQUARE, described))


def test_settings_that_are_not_the_maps_are_refused() -> None:
    honest, other = circuit(SQUARE, A + Y), circuit(SQUARE, A.replace("8", "9") + Y)
    with pytest.raises(CompileSettingsError):
        backend().compile(ModelSource(honest.format, honest.main, honest.files, other.settings))


def test_a_circuit_may_not_redefine_what_the_statement_is_made_of() -> None:
    text = SQUARE + "template Num2Bits(n) { signal input in; signal output out[n]; }\n"
    with pytest.raises(ModelError):
        backend().compile(circuit(text, A + Y))


def test_the_compiler_is_stopped_at_its_limits() -> None:
    endless = template("signal input a; signal output y; var i = 0; while (i < 10**12) { i++; } y <== a;")
    with pytest.raises(BackendLimitError, match="time"):
        compile_circuit("c.circom", {"c.circom": endless}, seconds=1.0)
    with pytest.raises(BackendLimitError, match="memory"):
        compile_circuit("c.circom", {"c.circom": endless}, memory_bytes=10 << 20)


@pytest.mark.parametrize("data", [b"", b"g16pk1", b"g16pk1" + b"\0asm\x01\0\0\0", b"zkey" * 100])
def test_a_file_that_is_no_saved_key_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedCircuitError):
        circom_key_file.read(data)
