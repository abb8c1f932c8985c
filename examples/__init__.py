# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that show the market at work. A package, since a dependency installs one of this name too."""
