# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames: the cap is checked before anything is read; half a header is no length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import FrameTooLargeError, TruncatedFrameError
from protocol.framing import HEADER_BYTES, frame, length


@given(st.binary(max_size=300))
def test_a_frame_is_its_length_and_its_bytes(payload: bytes) -> None:
    framed = frame(payload, 300)
    assert length(framed[:HEADER_BYTES], 300) == len(payload) and framed[HEADER_BYTES:] == payload


def test_the_cap_is_inclusive_on_both_sides() -> None:
    assert length(frame(b"abc", 3)[:4], 3) == 3
    with pytest.raises(FrameTooLargeError):
        frame(b"abcd", 3)
    with pytest.raises(FrameTooLargeError):
        length(b"\0\0\0\4", 3)


@pytest.mark.parametrize("header", [b"\xff" * 4, b"\x80\0\0\0", b"\1\0\0\0"])
def test_a_huge_length_is_unsigned_and_refused(header: bytes) -> None:
    with pytest.raises(FrameTooLargeError):
        length(header, 2**23)


@pytest.mark.parametrize("header", [b"", b"\0", b"\0\0\0", b"\0\0\0\0\0"])
def test_half_a_header_is_refused(header: bytes) -> None:
    with pytest.raises(TruncatedFrameError):
        length(header, 10)


def test_an_empty_frame_is_a_frame() -> None:
    assert frame(b"", 0) == bytes(4) and length(bytes(4), 0) == 0
