"""Where settings come from: the environment, a watched file, the command line; and what is in force.

`environment.py`, `file.py` and `flags.py` each read one source, weakest first: defaults, environment, file, flags.
`store.py` holds the settings in force; `watch.py` follows the file; `table.py` writes the documents' tables.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from speechpool.config.environment import read_environment
from speechpool.config.file import read_file
from speechpool.config.listen_token import read_listen_token
from speechpool.config.store import ConfigStore
from speechpool.config.watch import FileWatcher
from speechpool.errors import SettingsError
from speechpool.settings import Layer, settings_error

__all__ = ["ConfigStore", "FileWatcher", "load", "read_listen_token"]


def load(environ: Mapping[str, str], flags: Layer | None = None) -> ConfigStore:
    """Read all sources of a start.

    Args:
        environ: The environment; `SPEECHPOOL_CONFIG` names the file.
        flags: What the command line sets; `--config` names the file instead.

    Raises:
        SettingsError: Something is wrong in any source, the file missing included; all problems are listed.
    """
    layers: list[Layer] = [flags] if flags else []
    problems: list[str] = []
    for read in _readers(environ, flags):
        try:
            layers.append(read())
        except SettingsError as error:
            problems.extend(error.problems)
    if problems:
        raise settings_error(problems)
    return ConfigStore(layers)


def _readers(environ: Mapping[str, str], flags: Layer | None) -> Iterator[Callable[[], Layer]]:
    yield partial(read_environment, environ)
    path = (flags.values.get("config_file") if flags else None) or environ.get("SPEECHPOOL_CONFIG", "").strip()
    if path:
        yield partial(read_file, path)
