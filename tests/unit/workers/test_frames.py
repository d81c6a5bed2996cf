"""Frames, cut from bytes that arrive in any pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechpool.workers.frames import HEADER_BYTES, MAX_PAYLOAD_BYTES, Frame, FrameDecoder, encode_header

FRAMES = st.lists(st.builds(Frame, st.integers(0, 2**32 - 1), st.integers(0, 255), st.binary(max_size=300)), max_size=8)


@given(FRAMES, st.lists(st.integers(1, 200)))
def test_frames_survive_being_cut_anywhere(frames, cuts):
    data = b"".join(encode_header(f.stream, f.kind, len(f.payload)) + f.payload for f in frames)
    decoder, decoded = FrameDecoder(), []
    for size in [*cuts, len(data)]:
        decoded += decoder.feed(data[:size])
        data = data[size:]
    assert decoded == frames


def test_the_longest_payload_passes_and_one_more_byte_is_refused():
    assert len(encode_header(1, 1, MAX_PAYLOAD_BYTES)) == HEADER_BYTES
    with pytest.raises(ValueError, match=f"at most {MAX_PAYLOAD_BYTES} bytes, got {MAX_PAYLOAD_BYTES + 1}"):
        encode_header(1, 1, MAX_PAYLOAD_BYTES + 1)


def test_a_header_that_announces_too_much_is_refused():
    decoder = FrameDecoder()
    with pytest.raises(ValueError, match="4294967295"):
        list(decoder.feed(b"\xff" * HEADER_BYTES))
