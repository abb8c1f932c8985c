# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof systems behind one seam: `base` is the seam, `registry` finds them, `auto` chooses, the rest are three."""
