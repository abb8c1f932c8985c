# SPDX-License-Identifier: GPL-3.0-or-later
"""Groth16 over BN254 (Groth, EUROCRYPT 2016) by the groth16py wheel (arkworks)."""
