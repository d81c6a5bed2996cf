"""Voices by name: an engine's own names, OpenAI's names for them, and the names that the settings add."""

import difflib
from collections.abc import Iterable, Mapping

from speechpool.errors import InvalidInput

__all__ = ["OPENAI_VOICES", "VoiceBook"]

OPENAI_VOICES = (
    "alloy",
    "ash",
    "ballad",
    "cedar",
    "coral",
    "echo",
    "fable",
    "marin",
    "nova",
    "onyx",
    "sage",
    "shimmer",
    "verse",
)
"""Every built-in voice of OpenAI's speech API; each engine has a distinct voice for each of them."""

_SHOWN_CHARACTERS = 64


class VoiceBook:
    """The other names of voices, and the error for a name that is nobody's.

    Args:
        names: The engine's own names.
        aliases: Other names, each for one of the engine's own; found in any letter case.
    """

    def __init__(self, names: Iterable[str], aliases: Mapping[str, str]) -> None:
        self._names = tuple(names)
        self._aliases = {alias.casefold(): name for alias, name in aliases.items()}

    def alias(self, name: str) -> str:
        """What the name stands for; the name itself where it is no alias."""
        return self._aliases.get(name.casefold(), name)

    def unknown(self, name: str) -> InvalidInput:
        """The error for a name that is no voice (param `voice`, code `voice_not_found`), with close names."""
        known = [*self._aliases, *self._names]
        close = difflib.get_close_matches(name.casefold()[:_SHOWN_CHARACTERS], known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"use one of {', '.join(OPENAI_VOICES)}."
        return InvalidInput(
            f"voice {name[:_SHOWN_CHARACTERS]!r} is unknown; {hint} GET /v1/audio/voices lists all",
            param="voice",
            code="voice_not_found",
        )
