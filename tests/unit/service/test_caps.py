"""Caps: what a minute allows, and when more is there."""

import pytest

from speechpool.errors import QuotaExceeded
from speechpool.service.caps import MinuteBucket, PoolCaps


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_refills_evenly_up_to_its_minute() -> None:
    clock = Clock()
    bucket = MinuteBucket(60, clock)
    bucket.take(60)
    clock.now += 10
    assert bucket.level == pytest.approx(10)
    assert bucket.seconds_until(30) == pytest.approx(20)
    clock.now += 1000
    assert bucket.level == 60


def test_more_than_a_minutes_worth_waits_for_a_full_bucket_only() -> None:
    bucket = MinuteBucket(60, Clock())
    assert bucket.seconds_until(100) == 0
    bucket.take(100)
    assert bucket.level == -40
    assert bucket.seconds_until(100) == pytest.approx(100)


def test_another_size_keeps_what_was_taken() -> None:
    bucket = MinuteBucket(60, Clock())
    bucket.take(50)
    bucket.resize(100)
    assert bucket.level == pytest.approx(50)


def test_a_refusal_names_the_pool_the_setting_and_the_time() -> None:
    caps = PoolCaps("tts", Clock(), characters=60, audio_seconds=None)
    caps.admit(60)
    with pytest.raises(QuotaExceeded, match=r"'tts'.*max_characters_per_minute = 60 .*30\.0 s") as caught:
        caps.admit(30)
    assert caught.value.retry_after_seconds == pytest.approx(30)
    assert caught.value.code == "cap_reached"


def test_what_is_given_back_can_be_taken_again() -> None:
    caps = PoolCaps("tts", Clock(), characters=60, audio_seconds=None)
    caps.admit(60)
    caps.give_back(60)
    caps.admit(60)


def test_audio_may_overdraw_and_then_nothing_is_let_in() -> None:
    clock = Clock()
    caps = PoolCaps("stt", clock, characters=None, audio_seconds=60)
    caps.count_audio(120)
    with pytest.raises(QuotaExceeded, match="max_audio_seconds_per_minute"):
        caps.admit()
    clock.now += 61
    caps.admit()


def test_without_limits_everything_is_let_in() -> None:
    caps = PoolCaps("tts", Clock(), characters=None, audio_seconds=None)
    caps.admit(10**9)
    caps.count_audio(10**9)
    caps.admit(10**9)
