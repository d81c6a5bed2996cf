"""Every error that leaves its layer, in one place.

The HTTP status of each is decided in `speechpool.web.problems` alone. Messages name the field, the value and the
bound; they never carry text to speak, audio, keys or tokens.
"""

__all__ = [
    "AuthenticationFailed",
    "EngineFailed",
    "EngineTimeout",
    "EngineUnavailable",
    "InputTooLarge",
    "InvalidInput",
    "NotFound",
    "PoolClosed",
    "PoolError",
    "PoolFull",
    "PoolNotReady",
    "PoolTimeout",
    "QuotaExceeded",
    "RequestError",
    "SessionBusy",
    "SessionReleased",
    "SettingsError",
    "SidecarRefused",
    "SidecarUnreachable",
    "SocketInUse",
    "SpeechBrokenOff",
    "SpeechError",
    "SpeechPoolError",
    "Throttled",
    "UsageError",
    "WorkerDied",
]


class SpeechPoolError(Exception):
    """The root: catch it to catch everything SpeechPool raises on purpose."""


class SettingsError(SpeechPoolError, ValueError):
    """A setting is wrong: the message names it, its value and its bounds; nothing was changed.

    Args:
        message: One line, or several joined by newlines where several settings are wrong.
        problems: One line per wrong setting.
    """

    def __init__(self, message: str, *, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems or (message,)


# --- pools ---------------------------------------------------------------------------------------------------------


class PoolError(SpeechPoolError):
    """A pool could not do what was asked."""


class PoolTimeout(PoolError, TimeoutError):
    """No client within the deadline; counts in the message, the last creation failure as `__cause__`."""


class PoolFull(PoolError):
    """As many callers as `max_waiting` allows are waiting already."""


class PoolClosed(PoolError):
    """The pool is shut down, or is shutting down."""


class PoolNotReady(PoolError):
    """`prepare(strict=True)` or `wait_ready()` found fewer warm clients than wanted; `__cause__` says why."""


class SessionReleased(PoolError):
    """The session was released while its client was still being acquired."""


# --- requests ------------------------------------------------------------------------------------------------------


class RequestError(SpeechPoolError):
    """A request cannot be served as it was made.

    Args:
        message: What is wrong and what to do, with the bound.
        param: The field's name, as the caller wrote it.
        code: A stable identifier in snake_case.
    """

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class InvalidInput(RequestError):
    """A field is missing, malformed or out of bounds, or the engine refused it."""


class NotFound(RequestError):
    """The session, model, voice list or pool asked for does not exist."""


class SessionBusy(RequestError):
    """The session already speaks (or listens): one utterance and one recognition at a time."""


class InputTooLarge(RequestError):
    """The body is larger than the limit; it was not read to its end."""


class QuotaExceeded(RequestError):
    """A cap of the settings (characters or audio seconds a minute, sessions, uploads) is reached.

    Args:
        message: Which cap, and its value.
        retry_after_seconds: When to try again; > 0.
        param: The field's name, if one field caused it.
        code: A stable identifier in snake_case.
    """

    def __init__(
        self, message: str, *, retry_after_seconds: float, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, param=param, code=code)
        self.retry_after_seconds = retry_after_seconds


# --- engines -------------------------------------------------------------------------------------------------------


class SpeechError(SpeechPoolError):
    """The engine's side; mapped once, where the engine's own library is called."""


class EngineUnavailable(SpeechError):
    """The engine cannot be reached or cannot start: transient, tried again with back-off."""


class EngineTimeout(SpeechError):
    """The engine sent nothing within a deadline (first chunk, gap or total)."""


class EngineFailed(SpeechError):
    """The engine broke off; the client is closed and replaced."""


class WorkerDied(EngineUnavailable):
    """A worker process ended by itself or was killed."""


class AuthenticationFailed(SpeechError):
    """The engine refused the credentials: permanent until they change."""


class Throttled(SpeechError):
    """The engine asks for fewer requests.

    Args:
        message: What was throttled.
        retry_after_seconds: When to try again; > 0.
    """

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


# --- commands and clients of the socket ----------------------------------------------------------------------------


class UsageError(SpeechPoolError):
    """The command line asks for something that cannot be; the message says what to do."""


class SocketInUse(SpeechPoolError):
    """Another process listens on the socket; the message names it."""


class SidecarUnreachable(SpeechPoolError):
    """No sidecar answers at the socket; the message names it and says what to do."""


class SpeechBrokenOff(SpeechPoolError):
    """The sidecar stopped in the middle of an answer, or was silent for longer than the client waits."""


class SidecarRefused(SpeechPoolError):
    """The sidecar answered with an error.

    Args:
        message: The sidecar's own words.
        status: The HTTP status.
        code: The sidecar's identifier of the error, in snake_case.
        param: The field that caused it.
    """

    def __init__(self, message: str, *, status: int, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
