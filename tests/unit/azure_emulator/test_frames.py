from speechpool_azure_emulator.frames import audio_prefix, parse_binary, parse_text, text_message

REQUEST = "7e60cc27686948c1b1cd83111c754482"


def test_a_text_message_has_headers_and_a_body() -> None:
    message = parse_text(f"X-Timestamp:2026-11-22T06:18:22.520Z\r\nPath:ssml\r\nX-RequestId:{REQUEST}\r\n\r\n<speak/>")

    assert (message.path, message.request_id, message.body) == ("ssml", REQUEST, b"<speak/>")


def test_a_body_may_hold_empty_lines() -> None:
    assert parse_text("Path:ssml\r\n\r\none\r\n\r\ntwo").body == b"one\r\n\r\ntwo"


def test_a_message_without_headers_has_no_path() -> None:
    assert parse_text("hello").path == ""


def test_a_binary_message_has_a_counted_header_block() -> None:
    head = f"Path:audio\r\nX-RequestId:{REQUEST}\r\nX-StreamId:2\r\n".encode()
    message = parse_binary(len(head).to_bytes(2, "big") + head + b"RIFF")

    assert message is not None
    assert (message.path, message.request_id, message.stream_id, message.body) == ("audio", REQUEST, "2", b"RIFF")


def test_a_binary_message_that_is_shorter_than_it_says_is_none() -> None:
    assert parse_binary(b"") is None
    assert parse_binary(b"\xff\xffPath:audio\r\n") is None


def test_audio_is_written_byte_for_byte_as_the_service_does() -> None:
    prefix = audio_prefix("1" * 32, "2" * 32, "audio/x-wav")
    head = f"X-RequestId:{'1' * 32}\r\nContent-Type:audio/x-wav\r\nX-StreamId:{'2' * 32}\r\nPath:audio\r\n".encode()

    assert prefix == b"\x00\x81" + head


def test_the_end_of_audio_has_no_content_type() -> None:
    assert b"Content-Type" not in audio_prefix("1" * 32, "2" * 32, None)


def test_what_is_written_as_text_is_read_the_same() -> None:
    message = parse_text(text_message("turn.end", REQUEST, "{}"))

    assert (message.path, message.request_id, message.body) == ("turn.end", REQUEST, b"{}")
