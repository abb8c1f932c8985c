# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixed-point program to rank-1 constraints and their witness, and the check that the circuit is deterministic."""
