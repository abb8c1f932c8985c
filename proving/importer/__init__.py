# SPDX-License-Identifier: GPL-3.0-or-later
"""Model files to a graph of real-valued vectors (`graph.py`): foreign bytes end here."""
