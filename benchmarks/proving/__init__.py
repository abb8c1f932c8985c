# SPDX-License-Identifier: GPL-3.0-or-later
"""EZKL and proofmesh on the same models, in one run; see run.py."""
