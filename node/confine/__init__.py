# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker that gives up what it does not need, before it meets a stranger's bundle: `confinement.confine`."""
