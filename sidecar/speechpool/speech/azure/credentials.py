"""What a client shows to an endpoint, and where it comes from: a key, a watched file, or Microsoft Entra ID."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from speechpool.errors import AuthenticationFailed

__all__ = ["Credential", "CredentialSource", "FixedCredential", "Threads"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What is shown at the beginning of a connection.

    Args:
        kind: What `secret` is; "none" for a container, which asks for nothing.
        secret: The key or the token; in no log and no message.
        expires_at: When a token ends, on the clock of its source; None for a key.
    """

    kind: Literal["key", "token", "none"]
    secret: str = field(default="", repr=False)
    expires_at: float | None = None


class Threads(Protocol):
    """Where what blocks is called."""

    async def run(self, function: Callable[..., T], /, *args: object) -> T:
        """The result of `function(*args)`, called in a thread."""

    def dispose(self, work: Callable[[], None], *, name: str) -> None:
        """Have `work()` done in a thread, and return at once."""


OnChange = Callable[[Credential], None]


class CredentialSource:
    """Where a credential comes from; `open()` before its first use, `close()` after its last.

    Args:
        setting: The setting's name, for messages.
    """

    def __init__(self, setting: str) -> None:
        self.setting = setting
        self.refresh_failures = 0
        self._current: Credential | None = None
        self._on_change: list[OnChange] = []

    @property
    def current(self) -> Credential:
        """The one to show now.

        Raises:
            AuthenticationFailed: There is none yet, or it has expired; the message names the setting.
        """
        if (problem := self.problem) or self._current is None:
            raise AuthenticationFailed(problem or f"{self.setting} has no credential yet")
        return self._current

    @property
    def problem(self) -> str | None:
        """Why there is no credential that could be shown; None where there is one."""
        return None if self._current else f"{self.setting} has no credential yet"

    @property
    def warning(self) -> str | None:
        """What is wrong although there is a credential still; None where all is well."""
        return None

    @property
    def expires_in_seconds(self) -> float | None:
        """How long the credential holds still; None for one that does not expire."""
        return None

    def on_change(self, callback: OnChange) -> None:
        """Call `callback(credential)`, on the loop, each time there is another than before, the first included."""
        self._on_change.append(callback)

    async def open(self) -> None:
        """Get the first credential, within a bound; what cannot be got is told by `problem`, and tried again."""

    async def close(self) -> None:
        """Get no more."""

    def _set(self, credential: Credential) -> None:
        before, self._current = self._current, credential
        if before is None or before.secret != credential.secret:
            for callback in self._on_change:
                callback(credential)


class FixedCredential(CredentialSource):
    """A key that holds until the end, or none at all.

    Args:
        setting: The setting's name, for messages.
        key: The key; None for an endpoint that asks for nothing.
    """

    def __init__(self, setting: str, key: str | None) -> None:
        super().__init__(setting)
        self._current = Credential(kind="none") if key is None else Credential(kind="key", secret=key)
