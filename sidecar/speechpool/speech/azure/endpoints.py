"""Which endpoint the next client connects to: by weight, among those that work. Pure but for the clock it is given.

An endpoint that fails is left alone for a time that doubles with each failure; then one client tries it, and only when
that one connects do others follow. Synthesis and recognition have quotas and containers of their own, so each has
endpoints, and a health, of its own.
"""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

from speechpool.errors import (
    AuthenticationFailed,
    EngineUnavailable,
    RequestError,
    SpeechError,
    SpeechPoolError,
    Throttled,
)
from speechpool.speech.azure.credentials import CredentialSource
from speechpool.speech.azure.failures import Work
from speechpool.speech.azure.places import Place

__all__ = ["Endpoint", "EndpointList"]

FAILURES_TO_LEAVE = 2
"""Failures in a row until an endpoint is left alone: after the first, another of its clients may still do."""

FIRST_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 10.0
"""Below the pools' own longest pause, so that their next attempt finds an endpoint that may be tried."""

FORGET_SECONDS = 60.0
"""Failures this far apart are not in a row, and an endpoint that worked so long begins again at the first back-off."""

MAX_PAUSE_SECONDS = 600.0
"""The longest pause that a service may ask for; a longer one is most likely a mistake of a proxy."""

PROBE_SECONDS = 30.0
"""How long one client may try an endpoint before another may: longer than it takes to connect and to ask why not."""

SOONEST_SECONDS = 0.1
"""The shortest pause that a caller is told; also while a credential is missing, which may come at any time."""

Clock = Callable[[], float]
Explain = Callable[["Endpoint"], Awaitable[SpeechError]]


class Endpoint:
    """One place that serves one service, and how it fares.

    Args:
        place: Where it is.
        work: What it serves.
        credentials: What it is shown.
        weight: Its share among the endpoints that work; 0 for one that is used only when no other works.
        clock: Monotonic seconds.
        rng: Source of the jitter.
        explain: Finds out why no connection opens.
    """

    def __init__(
        self,
        place: Place,
        work: Work,
        credentials: CredentialSource,
        *,
        weight: int = 1,
        clock: Clock,
        rng: random.Random,
        explain: Explain,
    ) -> None:
        self.place = place
        self.work = work
        self.credentials = credentials
        self.weight = weight
        self.connects = 0
        self.connect_seconds = 0.0
        self.reconnects = 0
        self.throttled = 0
        self.failures: Counter[str] = Counter()
        self._clock = clock
        self._rng = rng
        self._explain = explain
        self._problem: SpeechPoolError | None = None
        self._in_a_row = 0
        self._level = 0
        self._failed_at = self._left_until = self._probed_until = float("-inf")
        self._on_left: list[Callable[[Endpoint], None]] = []

    def __repr__(self) -> str:
        return f"Endpoint({self.name}, {self.work}, problem={self._problem!r})"

    @property
    def name(self) -> str:
        """The place's name."""
        return self.place.name

    @property
    def problem(self) -> SpeechPoolError | None:
        """Why it does not serve; None as long as nothing is known against it."""
        if missing := self.credentials.problem:
            return AuthenticationFailed(missing)
        return self._problem

    @property
    def is_usable(self) -> bool:
        """Whether a client may connect to it now: nothing is known against it, or it is time for one to try."""
        if self.credentials.problem:
            return False
        return self._problem is None or self._clock() >= max(self._left_until, self._probed_until)

    @property
    def retry_in_seconds(self) -> float:
        """When a client may try again; 0 where one may now, or is trying: what comes of that is soon known."""
        return max(0.0, self._left_until - self._clock())

    def sdk_arguments(self, *, version: str = "v1") -> dict[str, str]:
        """Where to connect, as keyword arguments of `SpeechConfig`."""
        return self.place.sdk_arguments(self.work, version=version)

    def on_left(self, callback: Callable[["Endpoint"], None]) -> None:
        """Call `callback(endpoint)` each time it is found not to work."""
        self._on_left.append(callback)

    def begin_probe(self) -> None:
        """One client is about to try; nobody else does until it is known how that went."""
        if self._problem is not None:
            self._probed_until = self._clock() + PROBE_SECONDS

    def end_probe(self) -> None:
        """The one client that tried is gone; what it found out was told before."""
        self._probed_until = float("-inf")

    def reset(self) -> None:
        """Forget what is known against it: it has other credentials now."""
        self._problem = None
        self._in_a_row = self._level = 0
        self._left_until = self._probed_until = float("-inf")

    # --- what clients tell ---

    def opened(self, seconds: float) -> None:
        """A connection opened, after so many seconds."""
        self.connects += 1
        self.connect_seconds += seconds
        self._forgive()

    def reconnected(self) -> None:
        """The SDK opened a new connection in place of one that was lost."""
        self.reconnects += 1

    def succeeded(self) -> None:
        """It served a request."""
        self._in_a_row = self._level = 0
        self._forgive()

    def failed(self, error: SpeechPoolError) -> None:
        """A connection did not open, or a request was not served.

        Args:
            error: Why. An error of the request itself is an answer like any other.
        """
        if isinstance(error, RequestError):
            self.succeeded()
            return
        self.failures[type(error).__name__] += 1
        self._count()
        if isinstance(error, Throttled):
            self.throttled += 1
            self._leave(error, min(error.retry_after_seconds, MAX_PAUSE_SECONDS) * self._rng.uniform(1.0, 1.25))
        elif isinstance(error, AuthenticationFailed) or self._problem or self._in_a_row >= FAILURES_TO_LEAVE:
            self._leave(error, self._backoff())

    async def why(self) -> SpeechError:
        """Find out why no connection opened: one request for all that ask at the same time."""
        return await self._explain(self)

    def _forgive(self) -> None:
        """It works: but a pause holds to its end, for a connection that was open before says nothing of a new one."""
        if self._clock() >= self._left_until:
            self._problem = None

    def _count(self) -> None:
        now = self._clock()
        if now - self._failed_at > FORGET_SECONDS:
            self._in_a_row = self._level = 0
        self._failed_at = now
        self._in_a_row += 1

    def _leave(self, error: SpeechPoolError, seconds: float) -> None:
        now = self._clock()
        news = self._problem is None
        self._problem = error
        if now < self._left_until:  # the failures of clients that began before it was left count once
            return
        self._level += 1
        self._left_until = now + seconds
        self._probed_until = float("-inf")
        if news:
            for callback in self._on_left:
                callback(self)

    def _backoff(self) -> float:
        longest = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(self._level, 10))
        return longest * self._rng.uniform(0.5, 1.0)


class EndpointList:
    """The endpoints of one service.

    Args:
        work: What they serve.
        endpoints: In the order of the settings.
    """

    def __init__(self, work: Work, endpoints: Sequence[Endpoint]) -> None:
        self.work = work
        self._endpoints = tuple(endpoints)
        self._credit = dict.fromkeys(self._endpoints, 0)

    def __iter__(self) -> Iterator[Endpoint]:
        """In the order of the settings."""
        return iter(self._endpoints)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._endpoints)

    @property
    def problem(self) -> str | None:
        """Why none of them works, in a sentence; None where one does, or where there is none."""
        if not self._endpoints or any(each.problem is None for each in self._endpoints):
            return None
        return "; ".join(dict.fromkeys(_told(each) for each in self._endpoints))

    def choose(self, without: Collection[Endpoint] = ()) -> Endpoint:
        """The endpoint that the next client connects to.

        Those of weight 0 are taken only when no other may be tried. Among the rest each gets its share in turn, so
        that a few clients are spread as many would be. One that failed before is now tried, by this one client.

        Args:
            without: Those that this client has tried.

        Raises:
            Throttled: All ask for fewer requests.
            AuthenticationFailed: All refuse the credentials.
            EngineUnavailable: None can be tried now; the message says why, and when the next may be.
        """
        usable = [each for each in self._endpoints if each.is_usable and each not in without]
        candidates = [each for each in usable if each.weight] or usable
        if not candidates:
            raise self._refusal()
        for each in candidates:
            self._credit[each] += max(each.weight, 1)
        chosen = max(candidates, key=self._credit.__getitem__)
        self._credit[chosen] -= sum(max(each.weight, 1) for each in candidates)
        chosen.begin_probe()
        return chosen

    def can_choose(self, without: Collection[Endpoint]) -> bool:
        """Whether `choose` finds one."""
        return any(each.is_usable and each not in without for each in self._endpoints)

    def has_other(self, endpoint: Endpoint) -> bool:
        """Whether another one works."""
        return any(each is not endpoint and each.problem is None for each in self._endpoints)

    def _refusal(self) -> SpeechError:
        problems = [each.problem for each in self._endpoints]
        soonest = max(SOONEST_SECONDS, min((each.retry_in_seconds for each in self._endpoints), default=0.0))
        message = f"no endpoint for {self.work} works; the next attempt is in {soonest:.1f} s ({self.problem})"
        if all(isinstance(problem, Throttled) for problem in problems):
            return Throttled(message, retry_after_seconds=soonest)
        if all(isinstance(problem, AuthenticationFailed) for problem in problems):
            return AuthenticationFailed(message)
        return EngineUnavailable(message)


def _told(endpoint: Endpoint) -> str:
    """Its problem, with its name."""
    problem = str(endpoint.problem)
    return problem if endpoint.name in problem else f"{endpoint.name}: {problem}"
