"""The command `speechpool-azure-emulator`, also as `python -m speechpool_azure_emulator`."""

import asyncio
import importlib.util
import signal
import sys
from collections.abc import Callable, Sequence

from speechpool.errors import SettingsError, SpeechPoolError

__all__ = ["main"]

_NAME = "speechpool-azure-emulator"
_INSTALL = "aiohttp is not installed; install the extra: pip install 'speechpool[azure-emulator]'"


def main() -> int:
    """Run the command that this process was started with; returns its exit code."""
    return run(sys.argv[1:])


def run(words: Sequence[str]) -> int:
    """Run the emulator until Ctrl-C or SIGTERM.

    Args:
        words: The words after the command's name.

    Returns:
        0 at the end, 1 if it cannot run, 2 if an option is wrong.
    """
    if importlib.util.find_spec("aiohttp") is None:
        return _complain(_INSTALL, 1)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_live(words))
    except SettingsError as error:
        return _complain(str(error), 2)
    except SpeechPoolError as error:
        return _complain(str(error), 1)
    return 0


async def _live(words: Sequence[str]) -> None:
    from speechpool_azure_emulator.arguments import parse_arguments  # noqa: PLC0415 - needs aiohttp, as `run` checks
    from speechpool_azure_emulator.emulator import AzureEmulator  # noqa: PLC0415 - likewise

    arguments = parse_arguments(words)
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    emulator = AzureEmulator(**arguments.emulator)
    emulator.faults.set(*arguments.faults)
    async with emulator:
        options = emulator.options
        print(f"listening at {emulator.url}; speech: {options.speech}, recognition: {options.recognition}; ", end="")
        print(f"control: {emulator.http_url}/emulator; Ctrl-C ends it", flush=True)
        await over.wait()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop's where it is installed, None for asyncio's own."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    from uvloop import new_event_loop  # noqa: PLC0415 - not installed everywhere

    return new_event_loop


def _complain(message: str, code: int) -> int:
    print(f"{_NAME}: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
