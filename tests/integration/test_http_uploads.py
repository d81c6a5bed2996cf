"""Uploads are bounded in size, in time, and all together."""

import asyncio

import pytest
from tests.integration.api import Api, eventually, serving
from tests.integration.test_http_transcriptions import transcribe, wav

BOUNDARY = "xyz"
HEAD = (
    "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\n"
    f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
    "{length}\r\n"
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
)


async def begin(
    api: Api, length: str = "Transfer-Encoding: chunked"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(str(api.socket))
    head, _, part = HEAD.format(length=length + "\r\n").partition("\r\n\r\n")
    writer.write(f"{head}\r\n\r\n".encode())
    if "chunked" in length:
        write_chunk(writer, part.encode())
    else:
        writer.write(part.encode())
    return reader, writer


def write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


async def status_of(reader: asyncio.StreamReader) -> int:
    line = await reader.readline()
    return int(line.split()[1])


async def test_a_file_over_the_limit_is_413_while_it_comes():
    async with serving(environ={"SPEECHPOOL_MAX_UPLOAD_BYTES": "100000"}) as api:
        reader, writer = await begin(api)
        for _ in range(4):
            write_chunk(writer, b"\0" * 50_000)
        assert await status_of(reader) == 413  # though the body has no end yet
        await eventually(lambda: api.state.uploads.held_bytes == 0)
        writer.close()


async def test_a_length_over_the_limit_is_413_before_it_comes():
    async with serving(environ={"SPEECHPOOL_MAX_UPLOAD_BYTES": "100000"}) as api:
        reader, writer = await begin(api, "Content-Length: 1000000000")
        assert await status_of(reader) == 413
        writer.close()


async def test_a_file_of_just_the_limit_is_taken():
    upload = wav()
    async with serving(environ={"SPEECHPOOL_MAX_UPLOAD_BYTES": str(len(upload))}) as api:
        assert (await transcribe(api, upload)).status_code == 200
        assert (await transcribe(api, upload + b"\0")).status_code == 413


async def test_an_upload_that_stands_still_is_408():
    async with serving(environ={"SPEECHPOOL_UPLOAD_STALL": "0.1"}) as api:
        reader, writer = await begin(api)
        write_chunk(writer, b"\0" * 1000)
        assert await status_of(reader) == 408
        await eventually(lambda: api.state.uploads.held_bytes == 0)
        writer.close()


async def test_an_upload_that_drips_is_408():
    async with serving(environ={"SPEECHPOOL_UPLOAD_TIMEOUT": "0.3", "SPEECHPOOL_UPLOAD_STALL": "0.3"}) as api:
        reader, writer = await begin(api)
        status = asyncio.create_task(status_of(reader))
        while not status.done():
            write_chunk(writer, b"\0" * 10)
            await asyncio.sleep(0.01)
        assert await status == 408
        writer.close()


async def test_a_json_body_that_does_not_come_is_408():
    async with serving(environ={"SPEECHPOOL_UPLOAD_TIMEOUT": "0.2", "SPEECHPOOL_UPLOAD_STALL": "0.2"}) as api:
        reader, writer = await asyncio.open_unix_connection(str(api.socket))
        writer.write(b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert await status_of(reader) == 408
        writer.close()


async def test_all_uploads_together_are_bounded():
    environ = {"SPEECHPOOL_MAX_UPLOAD_BYTES": "100000", "SPEECHPOOL_MAX_UPLOAD_TOTAL_BYTES": "100000"}
    async with serving(environ=environ) as api:
        _, first = await begin(api)
        write_chunk(first, b"\0" * 90_000)
        await eventually(lambda: api.state.uploads.held_bytes >= 60_000)
        reader, second = await begin(api)
        write_chunk(second, b"\0" * 90_000)
        assert await status_of(reader) == 429
        first.close()
        second.close()
        await eventually(lambda: api.state.uploads.held_bytes == 0)
        assert (await transcribe(api)).status_code == 200


async def test_a_client_that_goes_away_frees_its_room():
    async with serving() as api:
        _, writer = await begin(api)
        write_chunk(writer, b"\0" * 500_000)
        await eventually(lambda: api.state.uploads.held_bytes > 400_000)
        writer.close()
        await eventually(lambda: api.state.uploads.held_bytes == 0)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ([("prompt", "x" * 70_000)], "field_too_large"),
        ([(f"phrases[{number}]", "x" * 60_000) for number in range(30)], "field_too_large"),
        ([("phrases[]", "x")] * 3000, "too_many_fields"),
    ],
)
async def test_fields_are_bounded_too(fields: list[tuple[str, str]], code: str):
    async with serving() as api:
        files = [(name, (None, value)) for name, value in fields]
        reply = await api.http.post("/v1/audio/transcriptions", files=files)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, code)
