"""The embedded engine: espeak-ng speaks, pocketsphinx understands; offline, without an account, in processes apart.

Licences: espeak-ng is GPL-3.0-or-later. It is an optional extra (`speechpool[local]`) and is loaded only inside worker
processes, which talk to the sidecar over a socket; the sidecar's own process never loads it. pocketsphinx and its
English model are BSD-style, soxr is LGPL-2.1-or-later; they are loaded only inside worker processes too.

What it is for: trying SpeechPool, developing against it, and tests. espeak-ng is intelligible and fast, and sounds
like a machine. pocketsphinx understands a clear human voice roughly three words in four, and synthetic speech worse;
with a grammar (a closed set of sentences) it is exact.

This module imports nothing at its top: the workers import it on their way up.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speechpool.speech.engine import Engine

__all__ = ["create_engine"]


def create_engine(options: Mapping[str, Any]) -> "Engine":
    """Make the engine from `engines.local` of the settings; see `speechpool.speech.local.options`.

    Raises:
        SettingsError: An option is unknown or out of bounds.
    """
    from speechpool.speech.local.engine import LocalEngine  # noqa: PLC0415 - see the module's docstring
    from speechpool.speech.local.options import LocalOptions  # noqa: PLC0415 - likewise

    return LocalEngine(LocalOptions.parse(options))
