"""Why Microsoft Entra ID gave no token, in a line: azure-identity's own messages are pages of what was tried."""

import os
import re
from collections.abc import Mapping
from typing import Final

__all__ = ["NoToken", "no_token"]

_FILES: Final = ("AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE")
"""Variables that name what azure-identity reads, in the order in which it does."""

_TRIED: Final = re.compile(r"^\t(\w+): (.+)$", re.MULTILINE)
"""One way to get a token and why there was none, as DefaultAzureCredential lists them."""

_LAST: Final = "BrokerCredential"
"""The last way: where it was come to, each before it said that it is not for this place."""

_MAX_CHARACTERS: Final = 200


class NoToken(Exception):
    """There is no token; the message says why.

    Args:
        reason: Why, in a line.
        awaits_file: Whether a file is missing, which may come at any time.
    """

    def __init__(self, reason: str, *, awaits_file: bool = False) -> None:
        super().__init__(reason)
        self.awaits_file = awaits_file


def no_token(error: Exception, environ: Mapping[str, str]) -> NoToken:
    """What an error of azure-identity's means. Looks for files, so it may block.

    Args:
        error: What it raised.
        environ: The variables that it reads.
    """
    if isinstance(error, ImportError):
        return NoToken("azure-identity is not installed; pip install 'speechpool[azure]'")
    if missing := _missing_file(environ):
        return NoToken(missing, awaits_file=True)
    return NoToken(_reason(error))


def _missing_file(environ: Mapping[str, str]) -> str | None:
    if environ.get("AZURE_CLIENT_SECRET"):  # it is what azure-identity takes before any file
        return None
    for name in _FILES:
        path = environ.get(name)
        if path and not os.path.exists(path):  # noqa: PTH110 - Path.exists raises where a directory may not be entered
            return f"{name}: {path}: there is no such file; mount it, or correct the path"
    return None


def _reason(error: Exception) -> str:
    text = str(error).strip()
    if not text:
        return type(error).__name__
    if not (tried := _TRIED.findall(text)):
        return f"{type(error).__name__}: {text.splitlines()[0][:_MAX_CHARACTERS]}"
    name, why = tried[-1]  # azure-identity stops at the first way that is for this place
    if name == _LAST:
        return "nothing here has an identity: give the pod a workload or a managed identity, or log in with `az login`"
    return f"{name}: {why[:_MAX_CHARACTERS]}"
