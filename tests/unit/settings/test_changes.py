"""What tells two settings apart, and what of it a running sidecar can take."""

import dataclasses

from speechpool.settings import Address, Change, Effect, PoolKind, Settings, default_pool, diff, without_restart

TTS, STT = default_pool(PoolKind.TEXT_TO_SPEECH, "tts"), default_pool(PoolKind.SPEECH_TO_TEXT, "stt")


def changed(**values):
    return dataclasses.replace(Settings(), **values)


def test_a_live_value():
    (change,) = diff(Settings(), changed(log_level="debug"))
    assert change == Change(path="logLevel", old="info", new="debug", effect=Effect.LIVE)


def test_a_value_of_a_pool():
    pool = dataclasses.replace(TTS, warm_pool_max=8)
    (change,) = diff(Settings(), changed(pools=(pool, STT)))
    assert change == Change(path="pools[tts].maxWarmSize", old=0, new=8, effect=Effect.LIVE)


def test_a_pool_that_comes_and_one_that_goes():
    pool = default_pool(PoolKind.TEXT_TO_SPEECH, "voice")
    gone, come = diff(Settings(), changed(pools=(TTS, pool)))
    assert gone == Change(path="pools[stt]", old="SpeechToText", new=None, effect=Effect.REPLACE)
    assert come == Change(path="pools[voice]", old=None, new="TextToSpeech", effect=Effect.REPLACE)


def test_a_pool_of_another_kind():
    changes = diff(Settings(), changed(pools=(default_pool(PoolKind.SPEECH_TO_TEXT, "tts"), STT)))
    assert Change(path="pools[tts].kind", old="TextToSpeech", new="SpeechToText", effect=Effect.REPLACE) in changes


def test_a_pools_shape_is_replaced():
    pool = dataclasses.replace(TTS, output_format="Raw8Khz16BitMonoPcm")
    (change,) = diff(Settings(), changed(pools=(pool, STT)))
    assert change.effect is Effect.REPLACE


def test_the_order_of_pools_is_no_difference():
    assert diff(Settings(), changed(pools=(STT, TTS))) == ()


def test_a_secret_is_not_shown():
    (change,) = diff(changed(listen_token="the old token!!!"), changed(listen_token="the new token!!!"))
    assert (change.old, change.new) == ("(set)", "(set)")


def test_what_needs_a_restart_stays_as_it_runs():
    wanted = changed(socket="/new", listen=Address("127.0.0.1", 1), log_level="debug", pools=(TTS,))
    assert without_restart(Settings(), wanted) == changed(log_level="debug", pools=(TTS,))
