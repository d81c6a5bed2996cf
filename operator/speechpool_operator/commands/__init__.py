"""Commands that `speechpool` has because this package is installed: entry points of the group `speechpool.commands`.

This module is all that the help text imports: each command's own module is imported when it is asked for.
"""

from typing import Final, NamedTuple

__all__ = ["CHECK", "INJECT", "STATUS", "Command"]


class Command(NamedTuple):
    """One command.

    Args:
        summary: Its line in the list of commands.
        module: The module; that of a command has `configure(parser)` and `run(args)`, that of a part what the command
            asks of it.
        extra: The extra of SpeechPool that installs what the module imports.
    """

    summary: str
    module: str
    extra: str = "operator"


CHECK: Final = Command("tell whether SpeechPool is right in this cluster", "speechpool_operator.commands.check")
INJECT: Final = Command("print manifests with a sidecar in every pod", "speechpool_operator.commands.inject")
STATUS: Final = Command("show every sidecar of the cluster", "speechpool_operator.commands.status")
"""Not a command of its own: `speechpool status --cluster`."""
