# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs slither's detectors over what solc-js said: `python slither_run.py OUTPUT.json FINDINGS.json`.

For slither's own environment (contracts/slither.py makes it): slither wants another web3 than the project.
"""

import json
import sys
from inspect import isclass

from crytic_compile import CryticCompile
from crytic_compile.compilation_unit import CompilationUnit
from crytic_compile.compiler.compiler import CompilerVersion
from crytic_compile.platform.solc_standard_json import SolcStandardJson, parse_standard_json_output
from slither import Slither
from slither.detectors import all_detectors
from slither.detectors.abstract_detector import AbstractDetector


class Compiled(SolcStandardJson):
    """What was compiled already, in the form of the compiler's standard output."""

    def compile(self, crytic_compile, **kwargs):
        unit = CompilationUnit(crytic_compile, "standard_json")
        unit.compiler_version = CompilerVersion("solc", self._json["version"], True, 1000, True)
        parse_standard_json_output(self._json["output"], unit)


def main(source, target):
    with open(source, encoding="utf-8") as file:
        compiled = Compiled(json.load(file))
    slither = Slither(CryticCompile(compiled))
    for each in vars(all_detectors).values():
        if isclass(each) and issubclass(each, AbstractDetector) and each is not AbstractDetector:
            slither.register_detector(each)
    results = [finding for found in slither.run_detectors() for finding in found or ()]
    with open(target, "w", encoding="utf-8") as file:
        json.dump([_brief(finding) for finding in results], file, indent=1)


def _brief(finding):
    element = finding["elements"][0] if finding["elements"] else {}
    parent = element.get("type_specific_fields", {}).get("parent", {})
    owner = element if element.get("type") in ("function", "contract", "variable") else parent
    place = element.get("source_mapping", {})
    return {
        "check": finding["check"],
        "impact": finding["impact"],
        "where": owner.get("name", ""),
        "file": place.get("filename_relative", ""),
        "lines": place.get("lines", [])[:1],
        "text": finding["description"].strip(),
    }


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
