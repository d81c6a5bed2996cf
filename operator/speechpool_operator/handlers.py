"""What kopf calls: one handler, which hands on what it was told.

Nothing here can fail for long: kopf never calls `on.event` again for an event whose handler raised, so what is to be
done is decided elsewhere, from what is known. Such a handler needs no finalizer and stores nothing on the objects, so
an operator that is taken away leaves nothing behind that somebody would wait for.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from speechpool_operator.names import GROUP, PLURAL, VERSION

__all__ = ["registry"]


def registry(
    changed: Callable[[Any], None], deleted: Callable[[Any], None], login: Callable[[], Awaitable[kopf.AiohttpSession]]
) -> kopf.OperatorRegistry:
    """The handlers of one run of kopf.

    Args:
        changed: Called with an object, as the API has it now.
        deleted: Called with an object, as it was last.
        login: Gives the way to the API server; called again when its answer has expired.
    """
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    async def log_in(**_: object) -> kopf.AiohttpSession:
        return await login()

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=made)
    async def on_event(event: kopf.RawEvent, **_: object) -> None:
        (deleted if event["type"] == "DELETED" else changed)(event["object"])

    return made
