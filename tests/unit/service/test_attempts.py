"""When another client may try. Pure."""

import pytest

from speechpool.errors import (
    AuthenticationFailed,
    EngineFailed,
    EngineTimeout,
    EngineUnavailable,
    InvalidInput,
    PoolTimeout,
    Throttled,
    WorkerDied,
)
from speechpool.service.deadlines import DEATH_SECONDS, MAX_ATTEMPTS, Attempts, is_broken

BUSY = Throttled("slow down", retry_after_seconds=2.0)


def begun() -> Attempts:
    attempts = Attempts()
    attempts.begin()
    return attempts


@pytest.mark.parametrize("error", [EngineTimeout("t"), EngineFailed("f"), EngineUnavailable("u"), WorkerDied("d")])
def test_what_another_client_may_do_better_is_tried_until_the_attempts_are_over(error):
    attempts = begun()
    for _ in range(MAX_ATTEMPTS - 1):
        assert attempts.may_go_on(error)
        attempts.begin()
    assert not attempts.may_go_on(error)
    assert is_broken(error)


def test_the_last_client_waits_until_the_loop_knows_who_died():
    attempts = begun()
    assert attempts.may_go_on(WorkerDied("one"))
    assert attempts.pause_seconds == 0
    attempts.begin()
    assert attempts.may_go_on(WorkerDied("another"))
    assert attempts.pause_seconds == DEATH_SECONDS


def test_a_service_that_fails_is_not_waited_for():
    attempts = begun()
    for _ in range(MAX_ATTEMPTS - 1):
        assert attempts.may_go_on(EngineTimeout("silent"))
        assert attempts.pause_seconds == 0
        attempts.begin()


def test_refused_credentials_are_tried_once_more():
    attempts = begun()
    assert attempts.may_go_on(AuthenticationFailed("an old key"))
    attempts.begin()
    assert not attempts.may_go_on(AuthenticationFailed("a wrong key"))
    assert is_broken(AuthenticationFailed("an old key"))


def test_a_throttled_endpoint_is_spared_and_another_tries_once():
    attempts = begun()
    attempts.check_endpoint("westeurope")
    assert attempts.may_go_on(BUSY, endpoint="westeurope")
    attempts.begin()
    with pytest.raises(Throttled) as caught:
        attempts.check_endpoint("westeurope")
    assert caught.value is BUSY
    attempts.check_endpoint("eastus")
    assert not attempts.may_go_on(BUSY, endpoint="eastus")
    assert not is_broken(BUSY)


def test_without_endpoints_throttling_is_passed_on():
    assert not begun().may_go_on(BUSY)


def test_a_client_that_cannot_be_acquired_is_tried_for_once_more():
    attempts = begun()
    assert attempts.may_go_on(EngineUnavailable("down"), is_acquiring=True)
    attempts.begin()
    assert not attempts.may_go_on(EngineUnavailable("down"), is_acquiring=True)
    assert attempts.may_go_on(EngineFailed("broke off"))


@pytest.mark.parametrize("error", [InvalidInput("no"), PoolTimeout("none")])
def test_what_would_be_the_same_with_another_client_is_not_tried(error):
    assert not begun().may_go_on(error)
    assert not is_broken(error)
