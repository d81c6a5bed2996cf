"""A multipart form with one file, read while it comes: bounded in size, in time, and over all requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from speechpool.errors import InputTooLarge, InvalidInput
from speechpool.settings import Settings
from speechpool.web.budget import UploadBudget
from speechpool.web.replies import upload_too_slow
from speechpool.web.state import STATE

__all__ = ["Form", "open_form"]

_MAX_FIELDS = 2048
"""Fields of one form; a grammar is a field a sentence."""

_MAX_FIELD_BYTES = 65_536
_MAX_FIELDS_BYTES = 1024 * 1024
"""Bytes of all fields but the file."""

_CHUNK_BYTES = 65_536

# What aiohttp's reader raises for a form that is not one.
_MALFORMED = (ValueError, AssertionError, RuntimeError, HttpProcessingError, web.RequestPayloadError)


@dataclass(slots=True)
class Form:
    """A form that was read.

    Args:
        fields: The values of each field, in order; a name's `[]` suffix is cut.
        file: The file's bytes, or None where none was sent.
    """

    fields: dict[str, list[str]] = field(default_factory=dict, repr=False)
    file: bytes | None = field(default=None, repr=False)


@asynccontextmanager
async def open_form(request: web.Request) -> AsyncIterator[Form]:
    """Read a form; what it holds counts against the bound over all uploads until the context is left.

    Raises:
        InvalidInput: It is not a multipart form, or malformed.
        InputTooLarge: The file passes `max_upload_bytes`, or the fields their bound; told while it comes.
        QuotaExceeded: All uploads together pass `max_upload_total_bytes`.
        HttpError: 408, it is too slow.
    """
    state = request.app[STATE]
    reader = _Reader(state.settings, state.uploads)
    try:
        yield await reader.read(request)
    finally:
        state.uploads.release(reader.held_bytes)


class _Reader:
    """Reads one form."""

    def __init__(self, settings: Settings, budget: UploadBudget) -> None:
        self._settings = settings
        self._budget = budget
        self._fields_bytes = 0
        self.held_bytes = 0

    async def read(self, request: web.Request) -> Form:
        limit_bytes = self._settings.max_upload_bytes + _MAX_FIELDS_BYTES
        if (request.content_length or 0) > limit_bytes:
            raise self._too_large()
        if request.content_type != "multipart/form-data":
            message = "the body must be multipart/form-data with the audio as the field file"
            raise InvalidInput(message, code="invalid_content_type")
        seconds = self._settings.upload_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._parts(request)
        except TimeoutError:
            raise upload_too_slow(f"the upload did not end within {seconds:g} s (uploadTimeoutSeconds)") from None
        except _MALFORMED:
            message = "the form is malformed or was cut: no part with its boundary where one belongs"
            raise InvalidInput(message, code="invalid_form") from None

    async def _parts(self, request: web.Request) -> Form:
        form = Form()
        parts = await request.multipart()
        for _ in range(_MAX_FIELDS):
            async with self._progress():
                part = await parts.next()
            if part is None:
                return form
            await self._part(part, form)
        raise InputTooLarge(f"a form may have at most {_MAX_FIELDS} fields", code="too_many_fields")

    async def _part(self, part: object, form: Form) -> None:
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise InvalidInput("every part of the form needs a name and no parts of its own", code="invalid_form")
        if part.name != "file":
            name = part.name.removesuffix("[]")
            form.fields.setdefault(name, []).append(await self._field(part, name))
        elif form.file is not None:
            raise InvalidInput("file is there twice; send one file a request", param="file", code="invalid_value")
        else:
            form.file = await self._file(part)

    async def _field(self, part: BodyPartReader, name: str) -> str:
        value = bytearray()
        async for chunk in self._chunks(part):
            value += chunk
            self._fields_bytes += len(chunk)
            if len(value) > _MAX_FIELD_BYTES or self._fields_bytes > _MAX_FIELDS_BYTES:
                message = f"a field may have at most {_MAX_FIELD_BYTES} bytes, all together {_MAX_FIELDS_BYTES}"
                raise InputTooLarge(message, param=name[:64], code="field_too_large")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InvalidInput("a field must be UTF-8", param=name[:64], code="invalid_value") from None

    async def _file(self, part: BodyPartReader) -> bytes:
        chunks: list[bytes] = []
        size_bytes = 0
        async for chunk in self._chunks(part):
            chunks.append(chunk)
            size_bytes += len(chunk)
            if size_bytes > self._settings.max_upload_bytes:
                raise self._too_large()
        return b"".join(chunks)

    async def _chunks(self, part: BodyPartReader) -> AsyncIterator[bytes]:
        while True:
            async with self._progress():
                chunk = await part.read_chunk(_CHUNK_BYTES)
            if not chunk and part.at_eof():
                return
            self._budget.reserve(len(chunk), limit_bytes=self._settings.max_upload_total_bytes)
            self.held_bytes += len(chunk)
            yield chunk

    @asynccontextmanager
    async def _progress(self) -> AsyncIterator[None]:
        seconds = self._settings.upload_stall_seconds
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise upload_too_slow(f"the upload brought nothing for {seconds:g} s (uploadStallSeconds)") from None

    def _too_large(self) -> InputTooLarge:
        message = f"file may have at most {self._settings.max_upload_bytes} bytes (maxUploadBytes)"
        return InputTooLarge(message, param="file", code="file_too_large")
