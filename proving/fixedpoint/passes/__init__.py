# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewriting graphs and programs without changing what they compute."""
