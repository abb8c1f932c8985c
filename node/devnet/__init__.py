# SPDX-License-Identifier: GPL-3.0-or-later
"""A development network on this machine: anvil and nodes as processes that die with their parent."""
