"""Clients of the speech engines; knows nothing of HTTP and nothing of pools.

`SpeechSynthesizer` and `StreamingSpeechRecognizerFromBytes` are clients of Azure for programs without an event loop.
They are loaded when they are asked for: this package can be imported where Azure's SDK is not installed.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechpool.speech.azure.blocking import SpeechSynthesizer
    from speechpool.speech.azure.blocking_recognizer import StreamingSpeechRecognizerFromBytes

__all__ = ["SpeechSynthesizer", "StreamingSpeechRecognizerFromBytes"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from speechpool.speech.azure import blocking, blocking_recognizer  # noqa: PLC0415 - see the module's docstring
    except ImportError as error:
        raise ImportError(
            f"{name} needs Azure's Speech SDK ({error}); install the extra: pip install 'speechpool[azure]'"
        ) from error
    return getattr(blocking if name in blocking.__all__ else blocking_recognizer, name)
