"""Results of the SDK's recogniser, read through its C interface.

The SDK's own result object reads some 240 properties for each partial result (1.2 ms of Python, measured with 1.53),
and loses a final one whose text it cuts within a character: it copies at most 2,047 bytes of UTF-8 and cannot decode
them. Here one property is read, the service's JSON. Where a version of the SDK has not what this needs, the object is
used: `results_of` decides.
"""

import ctypes
import itertools
import logging
from collections.abc import Callable
from typing import Protocol

import azure.cognitiveservices.speech as sdk

__all__ = ["Results", "results_of"]

logger = logging.getLogger(__name__)

_JSON = sdk.PropertyId.SpeechServiceResponse_JsonResult


class Results(Protocol):
    """Results of one kind, each as the service's JSON; shaped as the SDK's own `EventSignal`."""

    def connect(self, callback: Callable[[str], None]) -> None:
        """Call `callback(json)` for each, in a thread of the SDK's."""

    def disconnect_all(self) -> None:
        """Call nobody any more."""


def results_of(recognizer: sdk.SpeechRecognizer, kind: str) -> Results:
    """The results of a recogniser.

    Args:
        recognizer: The SDK's own; must live until `disconnect_all()`.
        kind: "recognizing" for partial results, "recognized" for final ones.
    """
    if _interface.is_there:
        return _NativeResults(recognizer, kind)
    return _ObjectResults(getattr(recognizer, kind))


class _ObjectResults:
    """By the SDK's public objects."""

    def __init__(self, signal: sdk.EventSignal) -> None:
        self._signal = signal

    def connect(self, callback: Callable[[str], None]) -> None:
        self._signal.connect(lambda event: callback(event.result.json))

    def disconnect_all(self) -> None:
        self._signal.disconnect_all()


class _NativeResults:
    """By the C interface. The SDK is given a number, never a Python object: it may call after `disconnect_all()`."""

    def __init__(self, recognizer: sdk.SpeechRecognizer, kind: str) -> None:
        self._handle = recognizer._handle  # noqa: SLF001 - the SDK shows the handle nowhere else
        self._set_callback = f"recognizer_{kind}_set_callback"
        self._number = next(_numbers)

    def connect(self, callback: Callable[[str], None]) -> None:
        _callbacks[self._number] = callback
        _interface.call(self._set_callback, self._handle, _relay, ctypes.c_void_p(self._number))

    def disconnect_all(self) -> None:
        _callbacks.pop(self._number, None)
        _interface.call(self._set_callback, self._handle, None, None)


class _Interface:
    """What is needed of the SDK's library, as far as this version has it."""

    _NEEDED = (
        "recognizer_recognizing_set_callback",
        "recognizer_recognized_set_callback",
        "recognizer_recognition_event_get_result",
        "recognizer_result_handle_release",
        "recognizer_event_handle_release",
        "result_get_property_bag",
    )

    def __init__(self) -> None:
        try:
            from azure.cognitiveservices.speech.interop import _sdk_lib  # noqa: PLC0415 - may be missing
            from azure.cognitiveservices.speech.properties import PropertyCollection  # noqa: PLC0415 - likewise
        except ImportError:
            self.is_there = False
            return
        self._library = _sdk_lib
        self._properties = PropertyCollection
        self.is_there = all(hasattr(_sdk_lib, name) for name in self._NEEDED) and hasattr(sdk.Recognizer, "_handle")

    def call(self, name: str, *args: object) -> None:
        if failure := getattr(self._library, name)(*args):
            raise RuntimeError(f"the SDK's {name} failed with {failure:#x}")

    def json_of(self, event: ctypes.c_void_p) -> str:
        result, bag = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("recognizer_recognition_event_get_result", event, ctypes.byref(result))
        try:
            self.call("result_get_property_bag", result, ctypes.byref(bag))
            return str(self._properties(bag).get_property(_JSON))  # which releases the bag
        finally:
            self._library.recognizer_result_handle_release(result)

    def release(self, event: ctypes.c_void_p) -> None:
        self._library.recognizer_event_handle_release(event)


_interface = _Interface()
_numbers = itertools.count(1)
_callbacks: dict[int, Callable[[str], None]] = {}


def _hear(_recognizer: int, event: int, number: int) -> None:
    """A result, in a thread of the SDK's; the event is ours to release."""
    handle = ctypes.c_void_p(event)
    try:
        if callback := _callbacks.get(number):
            callback(_interface.json_of(handle))
    except Exception as error:  # noqa: BLE001 - nothing is above but the SDK's native code
        logger.error("a result of the SDK could not be read", extra={"error": type(error).__name__})  # noqa: TRY400 - a trace would show text
    finally:
        _interface.release(handle)


_relay = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(_hear)
"""One for all recognisers, and for ever: native code may hold it still when a recogniser is gone."""
