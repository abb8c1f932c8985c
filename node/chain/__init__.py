# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain as a node sees it: JSON-RPC, blocks with undo, chain time, transactions sent once."""
