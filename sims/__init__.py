# SPDX-License-Identifier: GPL-3.0-or-later
"""The market in a deterministic, faulty world: the machines of `market/`, unchanged, on one event heap.

Everything is an integer: time in nanoseconds, money in wei, probabilities in parts per million. Proofs
and signatures are tokens, because what is studied here is the market, not cryptography.
"""
