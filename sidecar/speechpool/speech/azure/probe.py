"""Asks an endpoint in plain HTTP what its WebSocket does not tell: which voices it has, and why nothing opens.

A synthesizer's connection that is refused is silent: the SDK tells neither 401, 403, 404, 429 nor 5xx, nor a closed
port. So whoever waited in vain asks for the list of voices with the same credential. Where that is answered well, or
where there is none (a recognition endpoint), the upgrade itself is tried, whose status then is the reason.
"""

import http.client
import json

from speechpool.errors import EngineFailed, SpeechError
from speechpool.speech.azure.credentials import CredentialSource, Threads
from speechpool.speech.azure.failures import Work
from speechpool.speech.azure.flight import SingleFlight
from speechpool.speech.azure.places import Place
from speechpool.speech.azure.reasons import reason_of_error, reason_of_reply, reason_of_upgrade
from speechpool.speech.azure.requester import Reply, Requester
from speechpool.speech.azure.voices import read_voices
from speechpool.speech.engine import Voice

__all__ = ["Probe"]


class Probe:
    """Asks one endpoint; one request at a time, however many want to know.

    Args:
        place: Where the endpoint is.
        work: What it serves.
        credentials: What it is shown.
        threads: Where the requests are made.
        requester: Makes them.
        timeout_seconds: Of one request.
    """

    def __init__(
        self,
        place: Place,
        work: Work,
        credentials: CredentialSource,
        threads: Threads,
        requester: Requester,
        *,
        timeout_seconds: float,
    ) -> None:
        self._place = place
        self._work = work
        self._credentials = credentials
        self._threads = threads
        self._requester = requester
        self._timeout_seconds = timeout_seconds
        self.asked = 0
        self._asking = SingleFlight(self._find, limit_seconds=2 * timeout_seconds, name="speechpool-azure-probe")

    async def why(self) -> SpeechError:
        """Why no connection opens: one answer for all who ask at the same time, within two time limits."""
        try:
            return await self._asking.answer()
        except TimeoutError as error:
            return self._unreachable(error)
        except SpeechError as error:  # the credential is missing, or the engine is closed
            return error

    async def voices(self) -> tuple[Voice, ...]:
        """The voices that the endpoint lists; none where it has no list.

        Raises:
            SpeechError: It refuses, or cannot be reached.
        """
        reply = await self._get_voices()
        if reason := self._reason(reply):
            raise reason
        if reply.status != 200:
            return ()
        try:
            return read_voices(json.loads(reply.body))
        except ValueError:
            return ()

    async def close(self) -> None:
        """Wait for no answer any more."""
        await self._asking.close()

    async def _find(self) -> SpeechError:
        self.asked += 1
        try:
            if self._work is Work.SYNTHESIS and (reason := self._reason(await self._get_voices())):
                return reason
            return await self._try_upgrade()
        except EngineFailed:
            raise
        except SpeechError as error:
            return error

    async def _get_voices(self) -> Reply:
        try:
            return await self._threads.run(self._requester.get, self._place.voices_url(), self._credentials.current)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from None

    async def _try_upgrade(self) -> SpeechError:
        url = self._place.upgrade_url(self._work)
        target = f"{url}?language=en-US" if self._work is Work.RECOGNITION else url  # a container insists on one
        try:
            reply = await self._threads.run(self._requester.upgrade, target, self._credentials.current)
        except (OSError, http.client.HTTPException) as error:
            return self._unreachable(error)
        return self._reason(reply) or reason_of_upgrade(
            reply, endpoint=self._place.name, url=url, waited_seconds=self._timeout_seconds
        )

    def _reason(self, reply: Reply) -> SpeechError | None:
        return reason_of_reply(
            reply,
            endpoint=self._place.name,
            setting=self._credentials.setting,
            has_credential=self._credentials.current.kind != "none",
        )

    def _unreachable(self, error: BaseException) -> SpeechError:
        return reason_of_error(error, endpoint=self._place.name, waited_seconds=self._timeout_seconds)
