# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving times: a committed table of measured ones, scaled by a machine's speed.

Measured on two cores with the direct R1CS of this project (Groth16); the last line is EZKL (Halo2) on
LeNet, the long job for which locks exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from sims.world import Draw

MILLISECOND = 1_000_000
LONGEST_WITNESS = 3_000 * MILLISECOND


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the simulated registry."""

    name: str
    proving_ms: int
    """On the reference machine."""
    weight: int
    """How often it is asked for, relative to the others."""

    @property
    def program_id(self) -> bytes:
        """The name's hash stands for the program's identity."""
        return sha256(f"program {self.name}".encode()).digest()


PROGRAMS = (
    Program("mlp-20-16-1", 19, 6),
    Program("trees-50x4", 81, 6),
    Program("mlp-64-64-32-10", 98, 6),
    Program("mlp-784-128-10", 366, 4),
    Program("mlp-784-512-256-10", 716, 3),
    Program("lenet-8bit", 1_900, 3),
    Program("lenet-ezkl", 53_500, 2),
)
BY_ID = {program.program_id: program for program in PROGRAMS}


def draw_program(draw: Draw) -> Program:
    """Return a program, by weight."""
    return draw_of(draw, PROGRAMS)


def draw_of(draw: Draw, programs: tuple[Program, ...]) -> Program:
    """Return one of these programs, by weight."""
    ticket = draw.below(sum(program.weight for program in programs))
    for program in programs:
        if ticket < program.weight:
            return program
        ticket -= program.weight
    raise AssertionError("a ticket is below the sum of the weights")


def estimate_ms(program: Program, slowness_percent: int) -> int:
    """Return the proving time that a machine measured at its audit, in ms."""
    return max(1, program.proving_ms * slowness_percent // 100)


def draw_proving(draw: Draw, program: Program, slowness_percent: int) -> int:
    """Return how long one proof takes, in nanoseconds: the estimate, give or take."""
    return estimate_ms(program, slowness_percent) * draw.between(85, 135) * MILLISECOND // 100


def draw_witness(draw: Draw, program: Program, slowness_percent: int) -> int:
    """Return how long one witness takes, in nanoseconds: a tenth of the proof, 2 ms to 3 s."""
    return 2 * MILLISECOND + min(draw_proving(draw, program, slowness_percent) // 10, LONGEST_WITNESS)
