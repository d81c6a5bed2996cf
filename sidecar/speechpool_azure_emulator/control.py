"""The HTTP API with which any program steers the emulator, on the same port as the service: paths under /emulator."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiohttp import web

from speechpool.errors import SettingsError
from speechpool_azure_emulator.faults import parse_faults
from speechpool_azure_emulator.fields import check_number, check_text
from speechpool_azure_emulator.ledger import ConnectionRecord, RecognitionRecord, UtteranceRecord

if TYPE_CHECKING:
    from speechpool_azure_emulator.emulator import AzureEmulator

__all__ = ["PATHS", "Control"]

PATHS = {
    "GET /emulator": "this list",
    "GET /emulator/counts": "what it saw, in numbers",
    "GET /emulator/connections": "the WebSockets, oldest first; ?last=N for the last N",
    "GET /emulator/utterances": "the syntheses, likewise",
    "GET /emulator/recognitions": "the recognitions, likewise",
    "DELETE /emulator/records": "forget all that, but for what is open or under way",
    "GET /emulator/faults": "the faults in force, and how often each struck",
    "PUT /emulator/faults": "replace them: a list of faults",
    "POST /emulator/faults": "add to them: a list of faults",
    "DELETE /emulator/faults": "take all back",
    "GET /emulator/options": "the options in force",
    "PATCH /emulator/options": "change some of them",
    "GET /emulator/credentials": "the names of the valid keys and tokens; null where everybody is let in",
    "PUT /emulator/credentials": 'replace them: {"keys": {name: secret}, "tokens": {name: secret}}; null lets all in',
    "POST /emulator/transcripts": "add what is recognised next: a list of texts",
    "POST /emulator/outage": 'lose the network for a while: {"seconds": 3, "silently": false}',
}
"""What can be asked and told."""

_MAX_BODY_BYTES = 1_000_000
_MAX_TRANSCRIPTS = 10_000
_MAX_OUTAGE_SECONDS = 3_600.0


class Control:
    """Answers the control API of one emulator.

    Args:
        emulator: Steered by it.
    """

    def __init__(self, emulator: "AzureEmulator") -> None:
        self._emulator = emulator
        self._outage: asyncio.Task[None] | None = None

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add all paths; before those of the service, which take everything."""
        answers: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
            "GET /emulator": self._index,
            "GET /emulator/counts": self._counts,
            "GET /emulator/connections": self._connections,
            "GET /emulator/utterances": self._utterances,
            "GET /emulator/recognitions": self._recognitions,
            "DELETE /emulator/records": self._forget,
            "GET /emulator/faults": self._faults,
            "PUT /emulator/faults": self._set_faults,
            "POST /emulator/faults": self._add_faults,
            "DELETE /emulator/faults": self._clear_faults,
            "GET /emulator/options": self._options,
            "PATCH /emulator/options": self._change_options,
            "GET /emulator/credentials": self._credentials,
            "PUT /emulator/credentials": self._set_credentials,
            "POST /emulator/transcripts": self._add_transcripts,
            "POST /emulator/outage": self._lose_network,
        }
        for place, answer in answers.items():
            method, _, path = place.partition(" ")
            router.add_route(method, path, _explaining(answer))
        router.add_route("*", "/emulator/{rest:.*}", _unknown)

    async def close(self) -> None:
        """End an outage that goes on."""
        if self._outage:
            self._outage.cancel()
            await asyncio.wait([self._outage])

    # --- what it saw -----------------------------------------------------------------------------------------------

    async def _index(self, _: web.Request) -> web.StreamResponse:
        return _answer(PATHS)

    async def _counts(self, _: web.Request) -> web.StreamResponse:
        return _answer(self._emulator.counts.as_json())

    async def _connections(self, request: web.Request) -> web.StreamResponse:
        return _last(request, self._emulator.connections)

    async def _utterances(self, request: web.Request) -> web.StreamResponse:
        return _last(request, self._emulator.utterances)

    async def _recognitions(self, request: web.Request) -> web.StreamResponse:
        return _last(request, self._emulator.recognitions)

    async def _forget(self, _: web.Request) -> web.StreamResponse:
        self._emulator.reset_records()
        return web.Response(status=204)

    # --- faults ----------------------------------------------------------------------------------------------------

    async def _faults(self, _: web.Request) -> web.StreamResponse:
        return _answer(self._emulator.faults.as_json())

    async def _set_faults(self, request: web.Request) -> web.StreamResponse:
        self._emulator.faults.set(*parse_faults(await _list(request, "faults")))
        return await self._faults(request)

    async def _add_faults(self, request: web.Request) -> web.StreamResponse:
        self._emulator.faults.add(*parse_faults(await _list(request, "faults")))
        return await self._faults(request)

    async def _clear_faults(self, _: web.Request) -> web.StreamResponse:
        self._emulator.faults.clear()
        return web.Response(status=204)

    # --- how it behaves --------------------------------------------------------------------------------------------

    async def _options(self, _: web.Request) -> web.StreamResponse:
        return _answer(self._emulator.options.as_json())

    async def _change_options(self, request: web.Request) -> web.StreamResponse:
        self._emulator.configure(**await _object(request, "options"))
        return await self._options(request)

    async def _credentials(self, _: web.Request) -> web.StreamResponse:
        return _answer(self._emulator.credentials.names())

    async def _set_credentials(self, request: web.Request) -> web.StreamResponse:
        given = await _object(request, "credentials")
        _refuse_unknown("credentials", given, ("keys", "tokens"))
        self._emulator.credentials.accept(keys=given.get("keys"), tokens=given.get("tokens"))
        return await self._credentials(request)

    async def _add_transcripts(self, request: web.Request) -> web.StreamResponse:
        texts = await _list(request, "transcripts")
        if len(texts) > _MAX_TRANSCRIPTS:
            raise SettingsError(f"transcripts must have at most {_MAX_TRANSCRIPTS} texts; got {len(texts)}")
        for index, text in enumerate(texts):
            check_text(f"transcripts[{index}]", text, 10_000)
        self._emulator.transcripts.say(*texts)
        return web.Response(status=204)

    async def _lose_network(self, request: web.Request) -> web.StreamResponse:
        given = await _object(request, "outage")
        _refuse_unknown("outage", given, ("seconds", "silently"))
        seconds, silently = given.get("seconds"), given.get("silently", False)
        check_number("outage.seconds", seconds, 0, _MAX_OUTAGE_SECONDS)
        if not isinstance(silently, bool):
            raise SettingsError(f"outage.silently must be true or false; got {silently!r}")
        if self._outage and not self._outage.done():
            raise SettingsError("outage: another one is going on; wait until it is over")
        response = _answer(given, status=202)
        response.force_close()
        await response.prepare(request)
        await response.write_eof()
        if request.transport:
            request.transport.close()  # an orderly end, so that the outage does not take this answer with it
        self._outage = asyncio.create_task(self._be_away(float(seconds or 0), silently=silently))
        return response

    async def _be_away(self, seconds: float, *, silently: bool) -> None:
        await self._emulator.lose_network(silently=silently)
        try:
            await asyncio.sleep(seconds)
        finally:
            await self._emulator.restore_network()


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _explaining(answer: Answer) -> Answer:
    """The same, with 400 and a message that names the field where something is wrong with the request."""

    async def answer_or_explain(request: web.Request) -> web.StreamResponse:
        try:
            return await answer(request)
        except SettingsError as error:
            return _answer({"error": {"message": str(error)}}, status=400)

    return answer_or_explain


async def _unknown(request: web.Request) -> web.StreamResponse:
    known = [place.partition(" ") for place in PATHS]
    methods = [method for method, _, path in known if path == request.path]
    if methods:
        message = f"{request.method} {request.path} cannot be done; it takes {', '.join(methods)}"
        return _answer({"error": {"message": message}}, status=405, headers={"Allow": ", ".join(methods)})
    message = f"there is no {request.path}; GET /emulator lists what there is"
    return _answer({"error": {"message": message}}, status=404)


def _answer(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(body, status=status, headers=headers)


def _last(
    request: web.Request, records: Sequence[ConnectionRecord | UtteranceRecord | RecognitionRecord]
) -> web.Response:
    asked = request.query.get("last", str(len(records)))
    if not asked.isdecimal():
        raise SettingsError(f"last must be a number of records, 0 or more; got {asked!r}")
    count = int(asked)
    return _answer([record.as_json() for record in records[len(records) - min(count, len(records)) :]])


async def _list(request: web.Request, name: str) -> list[Any]:
    body = await _json(request, name)
    if not isinstance(body, list):
        raise SettingsError(f"{name} must be a JSON list; got {type(body).__name__}")
    return body


async def _object(request: web.Request, name: str) -> dict[str, Any]:
    body = await _json(request, name)
    if not isinstance(body, dict):
        raise SettingsError(f"{name} must be a JSON object; got {type(body).__name__}")
    return body


async def _json(request: web.Request, name: str) -> object:
    body = await request.content.read(_MAX_BODY_BYTES + 1)
    if len(body) > _MAX_BODY_BYTES:
        raise SettingsError(f"{name}: the body must have at most {_MAX_BODY_BYTES} bytes")
    try:
        return json.loads(body)
    except ValueError as error:
        raise SettingsError(f"{name}: the body must be JSON: {error}") from None


def _refuse_unknown(name: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    unknown = [key for key in given if key not in known]
    if unknown:
        raise SettingsError(f"{name}.{unknown[0]} is unknown; known are {', '.join(known)}")
