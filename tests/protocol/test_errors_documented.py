# SPDX-License-Identifier: GPL-3.0-or-later
"""Each error has its own code, in the form that the wire takes, with a remedy and a line in docs/ERRORS.md."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from market import refusals
from protocol.errors import ProofmeshError
from protocol.structs import RefusalTerms

ROOT = Path(__file__).resolve().parents[2]
EXIT_CODES = {1, 2, 3, 4, 5, 6, 7, 8}  # 8: the simulator found that the code crashed


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_errors", ROOT / "scripts" / "make_errors.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _load()
ERRORS: list[type[ProofmeshError]] = GENERATOR.error_classes()


def test_the_page_is_current() -> None:
    assert GENERATOR.PAGE.read_text("utf-8") == GENERATOR.page(), "run `python scripts/make_errors.py`"


def test_each_code_means_one_thing() -> None:
    codes = Counter([error.code for error in ERRORS] + list(refusals.MEANINGS))
    assert len(codes) > 50 and [code for code, count in codes.items() if count > 1] == []


def test_each_refusal_has_a_meaning() -> None:
    named = {value for name, value in vars(refusals).items() if name.isupper() and isinstance(value, str)}
    assert named == set(refusals.MEANINGS)


def test_each_code_in_the_sources_is_documented() -> None:
    text = GENERATOR.PAGE.read_text("utf-8")
    for package in GENERATOR.PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for code in re.findall(r'"(PM-[A-Z]+-[0-9]+)"', path.read_text("utf-8")):
                assert f"`{code}`" in text, f"{path.relative_to(ROOT)}: {code}"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error.code))
def test_an_error_can_be_sent_and_says_what_to_do(error: type[ProofmeshError]) -> None:
    terms = RefusalTerms(order_hash=bytes(32), prover=bytes(20), code=error.code, quote=0, issued_at=0)
    assert terms.code == error.code
    assert error.remedy.endswith((".", ")")) and vars(error).get("__doc__")
    assert error.exit_code in EXIT_CODES
    assert str(error("It broke.")) == f"[{error.code}] It broke. {error('It broke.').advice}".rstrip()
