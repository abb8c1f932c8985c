# SPDX-License-Identifier: GPL-3.0-or-later
"""A market of real processes on a real chain that is broken on purpose, healed, and audited to the wei."""
