"""How often the sidecar's log tells of the same trouble."""

import io
import json
import logging

import pytest

from speechpool.cli.sparing_log import FORGET_SECONDS, MAX_KNOWN, SparingHandler
from speechpool.settings.logs import JsonFormatter


class Log:
    """A logger whose handler is at a time of the test's choice."""

    def __init__(self, name: str, level: int = logging.INFO) -> None:
        self.now = 0.0
        self.stream = io.StringIO()
        self.logger = logging.Logger(name, level)  # noqa: LOG001 - of this test alone
        handler = SparingHandler(self.stream, clock=lambda: self.now)
        handler.setFormatter(JsonFormatter())
        self.logger.addHandler(handler)

    def fail(self, reason: str = "it is away", **fields: object) -> None:
        self.logger.warning("client could not be made", extra={"reason": reason, "pool": "tts", **fields})

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def log() -> Log:
    return Log("speechpool.example")


def test_the_first_is_told_and_what_follows_ever_more_seldom(log: Log) -> None:
    for second in range(3600):
        log.now = float(second)
        log.fail(f"no endpoint works; the next attempt is in {second / 10} s")

    assert [line.get("times", 1) for line in log.lines] == [1, 60, 120, 240, 480, 960]


def test_another_trouble_is_told_at_once(log: Log) -> None:
    log.fail()
    log.fail("it refused the key")
    log.fail(pool="stt")
    log.logger.warning("engine not open", extra={"reason": "it is away"})

    assert len(log.lines) == 4


def test_what_comes_back_after_a_while_is_news(log: Log) -> None:
    log.fail()
    log.now = FORGET_SECONDS + 1
    log.fail()

    assert [line.get("times") for line in log.lines] == [None, None]


def test_what_only_ends_with_another_id_is_the_same(log: Log) -> None:
    for trace in ("a1b2", "c3d4"):
        log.fail(f"{'Entra ID gave no token':<130} trace {trace}")

    assert len(log.lines) == 1


def test_warnings_without_a_reason_and_other_levels_are_told_each_time(log: Log) -> None:
    for _ in range(3):
        log.logger.warning("settings refused", extra={"problems": ["x"]})
        log.logger.error("sidecar failed", extra={"reason": "x"})
        log.logger.info("listening", extra={"reason": "x"})

    assert len(log.lines) == 9


def test_the_pools_own_lines_give_way_to_the_service_s_with_the_reason() -> None:
    log = Log("speechpool.pools")
    log.logger.warning("[%s] creation failed: %s", "tts", "AuthenticationFailed")
    log.logger.warning("[%s] warm-up failed: %s", "tts", "AuthenticationFailed")
    log.logger.warning("[%s] close failed: %s", "tts", "EngineFailed")

    assert [line["message"] for line in log.lines] == ["[tts] close failed: EngineFailed"]


def test_at_the_level_of_debug_all_is_told(caplog: pytest.LogCaptureFixture) -> None:
    log = Log("speechpool.debugged")
    with caplog.at_level(logging.DEBUG, logger="speechpool.debugged"):
        log.fail()
        log.fail()

    assert len(log.lines) == 2


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(log: Log) -> None:
    for number in range(MAX_KNOWN + 1):
        log.fail(pool=f"p{number}")
    log.fail(pool=f"p{MAX_KNOWN}")
    assert len(log.lines) == MAX_KNOWN + 1

    log.fail(pool="p0")
    assert len(log.lines) == MAX_KNOWN + 2
