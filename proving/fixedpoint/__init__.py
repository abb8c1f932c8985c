# SPDX-License-Identifier: GPL-3.0-or-later
"""Graph to fixed-point program: quantisation, intervals, passes, calibration, and the oracle: the interpreter."""
