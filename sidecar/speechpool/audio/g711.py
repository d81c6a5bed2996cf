"""G.711 (mu-law and A-law) and 16 bit PCM into each other, by the standard library's C code.

`audioop` left the standard library in 3.13; `audioop-lts` is the same code as a package.
"""

import warnings
from collections.abc import Callable

from speechpool.formats import Codec

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # its end in 3.13 is provided for
    import audioop

__all__ = ["companding"]

_PCM_BYTES = 2


def companding(source: Codec, target: Codec) -> Callable[[bytes], bytes]:
    """The function from whole samples of one raw codec to whole samples of another; rates do not change.

    A second of 24 kHz audio takes about 0.4 ms (measured), little more than asking a worker, so none is asked.
    """
    expand, compress = _EXPAND[source], _COMPRESS[target]
    if source is target:
        return _same
    if expand is _same:
        return compress
    if compress is _same:
        return expand
    return lambda samples: compress(expand(samples))


def _same(samples: bytes) -> bytes:
    return samples


def _from_mulaw(samples: bytes) -> bytes:
    return audioop.ulaw2lin(samples, _PCM_BYTES)


def _from_alaw(samples: bytes) -> bytes:
    return audioop.alaw2lin(samples, _PCM_BYTES)


def _to_mulaw(samples: bytes) -> bytes:
    return audioop.lin2ulaw(samples, _PCM_BYTES)


def _to_alaw(samples: bytes) -> bytes:
    return audioop.lin2alaw(samples, _PCM_BYTES)


_EXPAND: dict[Codec, Callable[[bytes], bytes]] = {Codec.PCM: _same, Codec.MULAW: _from_mulaw, Codec.ALAW: _from_alaw}
_COMPRESS: dict[Codec, Callable[[bytes], bytes]] = {Codec.PCM: _same, Codec.MULAW: _to_mulaw, Codec.ALAW: _to_alaw}
