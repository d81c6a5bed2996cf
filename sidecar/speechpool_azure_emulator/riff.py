"""The RIFF header with which a client says what its audio is."""

import struct

from speechpool.formats import AudioFormat, Codec

__all__ = ["read_header"]

_CODECS = {1: Codec.PCM, 6: Codec.ALAW, 7: Codec.MULAW}
"""By format tag (RFC 2361). The SDK says 16 bits for G.711 too, so the bits count for PCM only."""

_FORMAT = struct.Struct("<HHIIHH")


def read_header(data: bytes) -> tuple[AudioFormat | None, bytes]:
    """The format that a first audio message declares, and the audio behind the header.

    Args:
        data: Beginning with "RIFF"; sizes are 0 for a stream, and are not looked at.

    Returns:
        None for a format that cannot be recognised: not mono, or neither 16-bit PCM nor G.711.
    """
    position, found = 12, None
    while position + 8 <= len(data):
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8
        if name == b"data":
            return found, data[position:]
        if name == b"fmt " and position + _FORMAT.size <= len(data):
            tag, channels, rate_hz, _, _, bits = _FORMAT.unpack_from(data, position)
            codec = _CODECS.get(tag)
            good = channels == 1 and (codec is not Codec.PCM or bits == 16)
            found = AudioFormat(codec, rate_hz) if codec and good else None
        position += size
    return found, b""
