"""What all uses of one service share."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from speechpool.audio.codecs import Codecs
from speechpool.errors import AuthenticationFailed, EngineUnavailable, PoolClosed, SpeechPoolError
from speechpool.service.lexicon import Lexicon
from speechpool.service.prompt_cache import PromptCache
from speechpool.settings import PoolKind, Settings
from speechpool.speech.engine import Engine

if TYPE_CHECKING:
    from speechpool.service.metrics import Metrics
    from speechpool.service.pool_table import PoolTable
    from speechpool.service.sessions import Sessions
    from speechpool.service.streams import EventStream

__all__ = ["Background", "Context"]

R = TypeVar("R")

logger = logging.getLogger(__name__)


class Background:
    """Tasks that nobody waits for, ended together."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, R], name: str) -> asyncio.Task[R]:
        """Run `work`; a failure is logged."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, PoolClosed):
            return  # pools are closed when everything ends: what was to be done with them is not
        if isinstance(error, SpeechPoolError):
            logger.warning("background work failed", extra={"work": task.get_name(), "reason": type(error).__name__})
        else:
            logger.error("background work failed", extra={"work": task.get_name()}, exc_info=error)

    async def close(self) -> None:
        """Cancel all and wait for their end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class Context:
    """The engine, the pools, the codecs, how words are said, what was said, and what is under way.

    Args:
        engine: Makes the clients.
        settings: Those in force; replaced whole.
        codecs: Encode, decode and resample.
        metrics: Counts.
    """

    pools: "PoolTable"
    sessions: "Sessions"

    def __init__(self, engine: Engine, settings: Settings, codecs: Codecs, metrics: "Metrics") -> None:
        self.engine = engine
        self.settings = settings
        self.codecs = codecs
        self.metrics = metrics
        self.lexicon = Lexicon(settings.lexicon)
        self.prompts = PromptCache(settings.prompt_cache_bytes or 0)
        self.background = Background()
        self.active: set[EventStream[Any]] = set()
        self.is_accepting = True
        self.engine_error: SpeechPoolError | None = EngineUnavailable("the engine is being opened")

    def take(self, settings: Settings) -> None:
        """Let these settings be in force from now on; pools are changed apart."""
        old, self.settings = self.settings, settings
        if old.lexicon != settings.lexicon:
            self.lexicon = Lexicon(settings.lexicon)
        if _sound(old) != _sound(settings):
            self.prompts.clear()
        self.prompts.resize(settings.prompt_cache_bytes or 0)

    def clock(self) -> float:
        """Monotonic seconds, of the running loop."""
        return asyncio.get_running_loop().time()

    def check_open(self) -> None:
        """Refuse work that cannot be done now.

        Raises:
            PoolClosed: The service is draining.
            EngineUnavailable: The engine is not open, with the reason.
            AuthenticationFailed: It is not open because it refused the credentials.
        """
        if not self.is_accepting:
            raise PoolClosed("the sidecar is shutting down; it takes no new work")
        if error := self.engine_error:
            kind = AuthenticationFailed if isinstance(error, AuthenticationFailed) else EngineUnavailable
            raise kind(str(error)) from error


def _sound(settings: Settings) -> object:
    """What the same request sounds different with."""
    made = [(pool.name, pool.output_format) for pool in settings.pools_of(PoolKind.TEXT_TO_SPEECH)]
    return settings.lexicon, made
