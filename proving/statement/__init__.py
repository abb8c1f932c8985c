# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proof says: commitments, public inputs, the forms of the output, and their hash, the layout."""
