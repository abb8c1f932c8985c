# SPDX-License-Identifier: GPL-3.0-or-later
"""One module for each family of nodes: how it becomes wires and rows, and what that costs."""
