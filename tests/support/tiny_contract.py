# SPDX-License-Identifier: GPL-3.0-or-later
"""A contract of 29 bytes: logs its call data under topic 1, and reverts with 0xdeadbeef on none."""

from __future__ import annotations

# if calldatasize == 0 jump 0x12; copy call data to 0; log1(0, size, 1); stop
_ACCEPT = bytes.fromhex("3615601257365f5f376001365fa100")
# 0x12: mstore(0, 0xdeadbeef); revert(28, 4)
_REFUSE = bytes.fromhex("5b63deadbeef5f526004601cfd")
RUNTIME = _ACCEPT.ljust(0x12, b"\x5b") + _REFUSE
DEPLOYMENT = bytes.fromhex(f"60{len(RUNTIME):02x}80600a5f395ff300") + RUNTIME
LOG_TOPIC = (1).to_bytes(32, "big")
REFUSAL = bytes.fromhex("deadbeef")
