import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from speechpool.errors import EngineFailed
from speechpool.settings.logs import configure_logging, set_level

logger = logging.getLogger("speechpool.example")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("speechpool")
    handlers, levels = root.handlers, (root.level, ours.level)
    yield
    root.handlers = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.captureWarnings(capture=False)


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


class TestJson:
    def test_fields_are_beside_the_constant_message(self, log: io.StringIO) -> None:
        configure_logging("info", "json", log)

        logger.info("pool grown", extra={"pool": "tts", "size": 8})

        record = json.loads(log.getvalue())
        assert record.pop("time").endswith("Z")
        assert record == {
            "level": "info",
            "logger": "speechpool.example",
            "message": "pool grown",
            "pool": "tts",
            "size": 8,
        }

    def test_a_field_cannot_pose_as_the_level(self, log: io.StringIO) -> None:
        configure_logging("info", "json", log)

        logger.warning("refused", extra={"level": "debug", "logger": "other"})

        assert json.loads(log.getvalue())["level"] == "warning"
        assert json.loads(log.getvalue())["logger"] == "speechpool.example"

    def test_each_record_is_one_line_whatever_a_field_holds(self, log: io.StringIO) -> None:
        configure_logging("info", "json", log)

        logger.info("odd", extra={"value": 'a\nb\x1b[2J"', "object": object()})

        assert log.getvalue().count("\n") == 1
        assert json.loads(log.getvalue())["value"] == 'a\nb\x1b[2J"'

    def test_our_own_errors_say_why_and_where(self, log: io.StringIO) -> None:
        configure_logging("info", "json", log)

        try:
            try:
                raise ConnectionRefusedError(111, "Connection refused")
            except OSError as error:
                raise EngineFailed("the engine went away") from error
        except EngineFailed:
            logger.exception("utterance failed")

        record = json.loads(log.getvalue())
        assert record["error"] == (
            "EngineFailed: the engine went away <- ConnectionRefusedError: [Errno 111] Connection refused"
        )
        assert record["traceback"][-1].endswith("test_our_own_errors_say_why_and_where")

    def test_other_errors_are_named_without_their_message_which_may_quote_a_user(self, log: io.StringIO) -> None:
        configure_logging("info", "json", log)

        try:
            int("my secret sentence")
        except ValueError:
            logger.exception("failed")

        assert json.loads(log.getvalue())["error"] == "ValueError"
        assert "secret" not in log.getvalue()

    def test_the_first_error_of_a_group_is_the_one_that_is_told(self, log: io.StringIO) -> None:
        configure_logging("info", "json", log)

        group = ExceptionGroup("all", [EngineFailed("first"), EngineFailed("second")])
        logger.error("sidecar failed", exc_info=group)

        assert json.loads(log.getvalue())["error"] == "EngineFailed: first"


class TestText:
    def test_fields_follow_the_message(self, log: io.StringIO) -> None:
        configure_logging("info", "text", log)

        logger.info("listening", extra={"address": "/run/x.sock", "seconds": 0.123456789, "note": "two words"})

        line = log.getvalue()
        assert line.endswith('info    listening address=/run/x.sock seconds=0.123457 note="two words"\n')

    def test_control_characters_do_not_reach_the_terminal(self, log: io.StringIO) -> None:
        configure_logging("info", "text", log)

        logger.info("from a library\x1b[2J\n", extra={"value": "\x1b]0;title\x07"})

        assert log.getvalue().count("\n") == 1
        assert "\x1b" not in log.getvalue()

    def test_auto_is_json_where_nobody_watches(self, log: io.StringIO) -> None:
        configure_logging("info", "auto", log)

        logger.info("started")

        assert json.loads(log.getvalue())["message"] == "started"


class TestLevel:
    def test_the_level_changes_while_running(self, log: io.StringIO) -> None:
        configure_logging("warning", "text", log)

        logger.info("before")
        set_level("debug")
        logger.debug("after")

        assert "before" not in log.getvalue()
        assert "after" in log.getvalue()

    def test_libraries_are_heard_only_when_something_is_wrong(self, log: io.StringIO) -> None:
        configure_logging("debug", "text", log)

        logging.getLogger("library").info("chatter")
        logging.getLogger("library").warning("trouble")

        assert "chatter" not in log.getvalue()
        assert "trouble" in log.getvalue()


def test_a_log_that_cannot_be_written_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    closed = io.StringIO()
    configure_logging("info", "text", closed)
    closed.close()

    logger.info("nobody hears this")

    assert sys.stderr is not closed
    assert capsys.readouterr().err == ""
