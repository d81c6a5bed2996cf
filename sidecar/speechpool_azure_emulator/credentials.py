"""Which keys and tokens are valid now, and which of them a request came with. Secrets are shown to nobody."""

import secrets
import time
from collections.abc import Callable, Mapping

from speechpool.errors import SettingsError
from speechpool_azure_emulator.fields import check_text

__all__ = ["Credentials"]

_ISSUED_SECONDS = 600.0  # a token of the real service lives ten minutes
_MAX_ISSUED = 10_000


class Credentials:
    """The valid keys and tokens by names of the test's choice; None for both lets everybody in.

    Args:
        keys: Secret by name.
        tokens: Likewise; for Microsoft Entra ID the whole "aad#resource#token" or its last part.
        clock: Seconds, for the tokens issued here.
    """

    def __init__(
        self,
        keys: Mapping[str, str] | None = None,
        tokens: Mapping[str, str] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._valid: dict[str, str] | None = None
        self._seen: dict[str, str] = {}
        self._issued: dict[str, float] = {}
        self.accept(keys=keys, tokens=tokens)

    def accept(self, *, keys: Mapping[str, str] | None = None, tokens: Mapping[str, str] | None = None) -> None:
        """Replace what is valid; names that were valid before stay known. None for both lets everybody in.

        Raises:
            SettingsError: A secret is no text, empty, or too long.
        """
        valid = _named("keys", "key", keys) | _named("tokens", "token", tokens)
        self._issued.clear()
        self._seen |= {secret: name for name, secret in valid.items()}
        self._valid = None if keys is None and tokens is None else valid

    def name_of(self, key: str | None, authorization: str | None) -> str:
        """Who asks: "key:<name>", "token:<name>", "token:issued", "unknown" or "none"."""
        secret = _secret(key, authorization)
        if secret is None:
            return "none"
        for candidate in _forms(secret):
            if candidate in self._issued:
                return "token:issued"
            if candidate in self._seen:
                return self._seen[candidate]
        return "unknown"

    def admits(self, key: str | None, authorization: str | None) -> bool:
        """Whether a request with these headers is let in now."""
        if self._valid is None:
            return True
        secret = _secret(key, authorization)
        if secret is None:
            return False
        return self._is_issued(secret) or not set(self._valid.values()).isdisjoint(_forms(secret))

    def issue_token(self) -> str:
        """A token that is valid for ten minutes, or until `accept`."""
        if len(self._issued) >= _MAX_ISSUED:
            del self._issued[next(iter(self._issued))]
        token = secrets.token_urlsafe(24)
        self._issued[token] = self._clock() + _ISSUED_SECONDS
        return token

    def names(self) -> list[str] | None:
        """What is valid now, by name; None where everybody is let in."""
        return None if self._valid is None else sorted(self._valid)

    def _is_issued(self, secret: str) -> bool:
        return self._issued.get(secret, 0.0) > self._clock()


def _named(field: str, kind: str, given: Mapping[str, str] | None) -> dict[str, str]:
    if given is not None and not isinstance(given, Mapping):
        raise SettingsError(f"{field} must be an object of secrets by name; got {type(given).__name__}")
    for name, secret in (given or {}).items():
        check_text(f"{field}.{name}", secret, 10_000)
        if not secret:
            raise SettingsError(f"{field}.{name} must not be empty")
    return {f"{kind}:{name}": secret for name, secret in (given or {}).items()}


def _secret(key: str | None, authorization: str | None) -> str | None:
    if authorization:
        return authorization.removeprefix("Bearer ").strip()
    return key


def _forms(secret: str) -> tuple[str, ...]:
    """A secret as sent, and without the "aad#resource#" before a token of Microsoft Entra ID."""
    return (secret, secret.rpartition("#")[2])
