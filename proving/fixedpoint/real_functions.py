# SPDX-License-Identifier: GPL-3.0-or-later
"""The smooth functions and their derivatives to PRECISION decimal digits, the same on every machine.

`decimal` rounds exp, ln and sqrt correctly; the rest are series of it. Sources: Abramowitz and Stegun, 4.4.42 (atan),
7.1.6 (erf).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext

from proving.importer.graph import Function

PRECISION = 50
EVALUATION_ERROR = Decimal("1e-20")
"""More than any evaluation here is off."""
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803")
ERF_IS_ONE = 7
"""erfc(7) is below 1e-22."""

Real = Callable[[Decimal], Decimal]


@dataclass(frozen=True, slots=True)
class Smooth:
    """A function, its derivative, and where its curvature changes sign: `offset + k * period` for whole k.

    `positive`: it has values for positive arguments only (and is constant below the least one that can be told from 0).
    `most` is where it is cut off: it is constant above.
    """

    value: Real
    derivative: Real
    inflection: Decimal | None = None
    period: Decimal | None = None
    positive: bool = False
    most: int | None = None


def context() -> Context:
    """Return the arithmetic that everything here is computed in."""
    return Context(prec=PRECISION, Emax=999999, Emin=-999999)


def _sigmoid(x: Decimal) -> Decimal:
    power = (-abs(x)).exp()
    return (power if x < 0 else 1) / (1 + power)


def _sigmoid_slope(x: Decimal) -> Decimal:
    power = (-abs(x)).exp()
    return power / (1 + power) ** 2


def _tanh(x: Decimal) -> Decimal:
    power = (-2 * abs(x)).exp()
    return ((1 - power) / (1 + power)).copy_sign(x)


def _tanh_slope(x: Decimal) -> Decimal:
    power = (-2 * abs(x)).exp()
    return 4 * power / (1 + power) ** 2


def _softplus(x: Decimal) -> Decimal:
    return max(x, Decimal(0)) + (1 + (-abs(x)).exp()).ln()


def _erf(x: Decimal) -> Decimal:
    """2/sqrt(pi) exp(-x^2) (x + 2 x^3/3 + 4 x^5/15 + ...): no term is negative."""
    if abs(x) >= ERF_IS_ONE:
        return Decimal(1).copy_sign(x)
    square = 2 * x * x
    term = total = x
    for denominator in range(3, 2000, 2):
        term = term * square / denominator
        total += term
        if abs(term) < Decimal("1e-45"):
            break
    return 2 * (-x * x).exp() / PI.sqrt() * total


def _erf_slope(x: Decimal) -> Decimal:
    return 2 * (-x * x).exp() / PI.sqrt()


def _sine(x: Decimal) -> Decimal:
    turns = (x / (2 * PI)).to_integral_value()
    with localcontext() as exact:
        exact.prec = PRECISION + 20
        rest = x - 2 * PI * turns
    term = total = rest
    for n in range(2, 400, 2):
        term = -term * rest * rest / (n * (n + 1))
        total += term
        if abs(term) < Decimal("1e-45"):
            break
    return total


def _cosine(x: Decimal) -> Decimal:
    return _sine(x + PI / 2)


def _arctangent(x: Decimal) -> Decimal:
    """Halve the angle three times, then x - x^3/3 + x^5/5 - ..."""
    for _ in range(3):
        x = x / (1 + (1 + x * x).sqrt())
    power = total = x
    for n in range(3, 400, 2):
        power = -power * x * x
        total += power / n
        if abs(power) < Decimal("1e-45"):
            break
    return 8 * total


ZERO = Decimal(0)
EXP_MOST = 16
"""exp is cut off here: what could be larger could not be told from 0 in fixed point any more."""

SMOOTH: dict[Function, Smooth] = {
    Function.SIGMOID: Smooth(_sigmoid, _sigmoid_slope, ZERO),
    Function.TANH: Smooth(_tanh, _tanh_slope, ZERO),
    Function.EXP: Smooth(lambda x: x.exp(), lambda x: x.exp(), most=EXP_MOST),
    Function.LOG: Smooth(lambda x: x.ln(), lambda x: 1 / x, positive=True),
    Function.SQRT: Smooth(lambda x: x.sqrt(), lambda x: 1 / (2 * x.sqrt()), positive=True),
    Function.ERF: Smooth(_erf, _erf_slope, ZERO),
    Function.SOFTPLUS: Smooth(_softplus, _sigmoid),
    Function.SIN: Smooth(_sine, _cosine, ZERO, PI),
    Function.COS: Smooth(_cosine, lambda x: -_sine(x), PI / 2, PI),
    Function.ATAN: Smooth(_arctangent, lambda x: 1 / (1 + x * x), ZERO),
}
"""RECIPROCAL is not here: it is a quotient."""
