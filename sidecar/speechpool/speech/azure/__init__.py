"""Azure Speech behind the engine protocol: the only package that imports Azure's SDK.

This module imports nothing at its top, so that the name of the engine can be looked up where the SDK is not installed.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speechpool.speech.engine import Engine

__all__ = ["create_engine"]


def create_engine(options: Mapping[str, Any]) -> "Engine":
    """Make the engine from `engines.azure` of the settings; see `speechpool.speech.azure.options`.

    The SDK is loaded when the engine opens: options are checked where it is not installed, and a sidecar without it
    says so instead of ending.

    Raises:
        SettingsError: An option is unknown or out of bounds.
    """
    from speechpool.errors import SettingsError  # noqa: PLC0415 - see the module's docstring
    from speechpool.speech.azure.awaiting import awaiting  # noqa: PLC0415 - likewise
    from speechpool.speech.azure.engine import AzureEngine  # noqa: PLC0415 - likewise
    from speechpool.speech.azure.options import AzureOptions  # noqa: PLC0415 - likewise

    try:
        return AzureEngine(AzureOptions.parse(options))
    except SettingsError as refusal:
        if stand_in := awaiting(options, refusal):
            return stand_in
        raise
