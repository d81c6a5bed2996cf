"""What a sidecar needs from files to reach its operator: whom to trust, and the token that says who asks."""

import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from speechpool.config.file import read_bytes
from speechpool.errors import SettingsError
from speechpool.settings import settings_error

__all__ = ["Credentials", "read_credentials"]

MAX_TOKEN_CHARACTERS = 16 * 1024
"""Longest token: a service account's has about 1,000 characters, and HTTP servers take headers of 8 to 16 KiB."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One reading of the files.

    Args:
        trust: Verifies the operator's certificate and its host name.
        token: The bearer token.
    """

    trust: ssl.SSLContext
    token: str = field(repr=False)


def read_credentials(ca_file: str, token_file: str) -> Credentials:
    """Read the files as they are now; both are replaced while the sidecar runs. Blocks.

    Args:
        ca_file: Certificates in PEM, or a directory whose *.crt and *.pem hold such.
        token_file: The token, white space around it ignored.

    Raises:
        SettingsError: A file is missing or does not hold what it should; the content is never shown.
    """
    return Credentials(_trust(ca_file), _token(token_file))


def _trust(path: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name, and trusts nobody yet
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for file in _certificate_files(Path(path)):
        try:
            context.load_verify_locations(cadata=_read("operatorCaFile", file).decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError) as error:
            if isinstance(error, SettingsError):
                raise
            raise settings_error(
                [f"operatorCaFile: {file} must hold certificates in PEM, and does not. Write them there."]
            ) from None
    return context


def _certificate_files(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(one for one in path.iterdir() if one.suffix in {".crt", ".pem"} and one.is_file())
    if not files:
        raise settings_error([f"operatorCaFile: {path} holds no *.crt and no *.pem. Put one there, or name a file."])
    return files


def _token(path: str) -> str:
    text = _read("operatorTokenFile", Path(path)).decode("ascii", "replace").strip()
    if len(text) > MAX_TOKEN_CHARACTERS or not re.fullmatch(r"[!-~]+", text):
        what = f"1 to {MAX_TOKEN_CHARACTERS} printable ASCII characters without spaces"
        raise settings_error([f"operatorTokenFile: {path} must hold {what}. Write a new token."])
    return text


def _read(setting: str, path: Path) -> bytes:
    try:
        return read_bytes(path)
    except SettingsError as error:
        raise settings_error([f"{setting}: {problem}" for problem in error.problems]) from None
