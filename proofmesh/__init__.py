# SPDX-License-Identifier: GPL-3.0-or-later
"""The public face of proofmesh: re-exports only."""
