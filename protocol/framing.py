# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames on a stream: an unsigned 4-byte big-endian length, then that many bytes."""

from __future__ import annotations

from protocol.errors import FrameTooLargeError, TruncatedFrameError

HEADER_BYTES = 4


def frame(payload: bytes, cap: int) -> bytes:
    """Return `payload` with its length in front.

    Raises:
        FrameTooLargeError: it is longer than `cap` bytes.
    """
    if len(payload) > cap:
        raise FrameTooLargeError(f"A frame of {len(payload)} bytes; the most here is {cap}.")
    return len(payload).to_bytes(HEADER_BYTES, "big") + payload


def length(header: bytes, cap: int) -> int:
    """Return the length that a header announces, checked against `cap` before anything is read.

    Raises:
        TruncatedFrameError: the header is not 4 bytes.
        FrameTooLargeError: the frame would be longer than `cap` bytes.
    """
    if len(header) != HEADER_BYTES:
        raise TruncatedFrameError("The stream ended inside the header of a frame.")
    size = int.from_bytes(header, "big")
    if size > cap:
        raise FrameTooLargeError(f"A frame announces {size} bytes; the most here is {cap}.")
    return size
