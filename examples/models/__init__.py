# SPDX-License-Identifier: GPL-3.0-or-later
"""Real models, from data to a proof that the contracts pay for: `python examples/models/run.py`."""
