"""The bearer token of the TCP listener."""

from speechpool.config.file import read_bytes
from speechpool.errors import SettingsError
from speechpool.settings import PROCESS_KNOBS, Settings, settings_error
from speechpool.settings.kinds import Refused

__all__ = ["read_listen_token"]


def read_listen_token(settings: Settings) -> str | None:
    """The token that clients of `listen` send: the variable's, or the file's without white space around it.

    Blocks for the time of reading a file.

    Returns:
        The token; None where `listen` is off.

    Raises:
        SettingsError: The file cannot be read, or does not hold a token.
    """
    if settings.listen is None or settings.listen_token_file is None:
        return settings.listen_token if settings.listen else None
    kind = next(one.kind for one in PROCESS_KNOBS if one.name == "listen_token")
    try:
        content = read_bytes(settings.listen_token_file)
        return str(kind.of_text(content.decode("ascii").strip()))
    except SettingsError as error:
        raise settings_error([f"listenTokenFile: {problem}" for problem in error.problems]) from None
    except (UnicodeDecodeError, Refused):
        path = settings.listen_token_file
        raise settings_error([f"listenTokenFile: {path} must hold {kind.expected}. Write a new token."]) from None
