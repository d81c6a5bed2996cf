"""`speechpool config`: what it shows and what it checks, without a sidecar."""

import argparse
import json

import pytest

from speechpool.cli import config
from speechpool.client import SidecarUnreachable
from speechpool.errors import SettingsError


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in ("SPEECHPOOL_CONFIG", "AZURE_SPEECH_KEY", "AZURE_SPEECH_REGION", "AZURE_SPEECH_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPEECHPOOL_SOCKET", str(tmp_path / "none.sock"))
    monkeypatch.setenv("SPEECHPOOL_ENGINE", "local")
    return monkeypatch


def command(*words):
    parser = argparse.ArgumentParser()
    config.configure(parser)
    return config.run(parser.parse_args(words))


def line_of(text, path):
    return next(line.split() for line in text.splitlines() if line.startswith(path + " "))


def test_it_shows_each_value_and_where_it_comes_from(environment, capsys):
    environment.setenv("SPEECH_POOL_WARM_SIZE", "5")
    assert command() == 0
    text = capsys.readouterr().out
    assert "No sidecar answers" in text
    assert line_of(text, "pools[tts].warmSize") == ["pools[tts].warmSize", "5", "environment", "SPEECH_POOL_WARM_SIZE"]
    assert line_of(text, "logLevel") == ["logLevel", "info", "default"]


def test_it_says_why_no_sidecar_was_asked(tmp_path, capsys):
    command()
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == (
        f"No sidecar answers at {tmp_path}/none.sock: start one with `speechpool serve`, or name its socket in "
        "SPEECHPOOL_SOCKET."
    )
    assert second == "`speechpool serve` would start with these settings."


def test_no_name_is_broken_in_an_explanation(capsys):
    command("--explain")
    lines = capsys.readouterr().out.splitlines()
    assert not [line for line in lines if line.endswith("-")]


def test_it_explains_meaning_bounds_names_and_effect(capsys):
    command("--explain")
    text = " ".join(capsys.readouterr().out.split())
    assert "Clients kept warm in each pool" in text
    assert "a whole number from 0 to 1000; clients" in text
    assert "Set by SPEECH_POOL_WARM_SIZE, --warm-size, warmSize in a file; a change holds at once." in text


def test_it_prints_json(capsys):
    command("--json")
    assert json.loads(capsys.readouterr().out)["settings"]["logLevel"] == "info"


def test_it_shows_warnings(environment, capsys):
    environment.setenv("SPEECHPOOL_LOGLEVEL", "info")
    command()
    assert "warning: SPEECHPOOL_LOGLEVEL is not a setting" in capsys.readouterr().out


def test_a_socket_that_was_asked_for_must_answer(tmp_path):
    with pytest.raises(SidecarUnreachable):
        command("--socket", str(tmp_path / "none.sock"))


def test_a_wrong_environment_is_an_error(environment):
    environment.setenv("SPEECH_POOL_WARM_SIZE", "many")
    with pytest.raises(SettingsError, match="SPEECH_POOL_WARM_SIZE"):
        command()


def test_a_right_file_passes_the_check(tmp_path, capsys):
    path = tmp_path / "s.yaml"
    path.write_text("warmSize: 5\n")
    assert command("--check", str(path)) == 0
    assert capsys.readouterr().out == f"{path} is right.\n"


def test_a_check_explains_what_the_file_would_bring(tmp_path, capsys):
    path = tmp_path / "s.yaml"
    path.write_text("warmSize: 5\n")
    command("--check", str(path), "--explain")
    text = capsys.readouterr().out
    assert line_of(text, "pools[stt].warmSize") == ["pools[stt].warmSize", "5", "file", "warmSize"]


def test_a_wrong_file_fails_the_check_with_every_problem(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("warmSize: x\nnope: 1\n")
    with pytest.raises(SettingsError) as refused:
        command("--check", str(path))
    assert len(refused.value.problems) == 2


def test_a_check_answers_in_json(tmp_path, capsys):
    path = tmp_path / "s.yaml"
    path.write_text("warmSize: x\n")
    assert command("--check", str(path), "--json") == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["valid"] is False
    assert "warmSize must be" in answer["problems"][0]


def test_a_check_asks_the_engine_about_its_options(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("engine: local\nengines: {local: {noSuchOption: 1}}\n")
    with pytest.raises(SettingsError, match="noSuchOption"):
        command("--check", str(path))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("engine: nobody", r"engine must be one of azure, local; got 'nobody'"),
        ("engines: {local: {wordsPerMinute: 9}}", r"engines\.local\.wordsPerMinute must be .*80 to 450; got 9"),
        ("pools: [{name: a, kind: SpeechToText, languages: [de-DE]}]", r"pools\.a\.languages = de-DE.*en-US"),
        ("pools: [{name: a, kind: TextToSpeech, textStreaming: Enabled}]", r"pools\.a\.textStreaming"),
        ("lexicon: [{word: tomato, ipa: t}]", r"lexicon\[0\]\.ipa .*speaks no phonemes; use alias"),
    ],
)
def test_a_check_finds_what_the_engine_cannot_do(environment, tmp_path, content, told):
    environment.delenv("SPEECHPOOL_ENGINE")
    path = tmp_path / "s.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=told):
        command("--check", str(path))


def test_a_check_tells_all_that_the_engine_cannot_do(tmp_path):
    path = tmp_path / "s.yaml"
    pools = ", ".join(f"{{name: {name}, kind: SpeechToText, languages: [de-DE]}}" for name in "ab")
    path.write_text(f"pools: [{pools}]\nlexicon: [{{word: tomato, ipa: t}}]\n")
    with pytest.raises(SettingsError) as refused:
        command("--check", str(path))
    assert len(refused.value.problems) == 3


def test_a_check_warns_of_options_that_no_engine_reads(tmp_path, capsys):
    path = tmp_path / "s.yaml"
    path.write_text("engines: {locl: {wordsPerMinute: 150}, azure: {language: de-DE}}\n")
    assert command("--check", str(path)) == 0
    first, *_, warning = capsys.readouterr().out.splitlines()
    assert first == f"{path} is right."
    assert warning == (
        "warning: engines.locl has no effect: no engine of this name is installed, only azure, local. "
        "Did you mean local?"
    )


def test_a_check_of_a_key_s_file_does_not_show_the_key(tmp_path):
    path = tmp_path / "key"
    path.write_text("0123456789abcdef0")
    with pytest.raises(SettingsError, match="got text of 17 characters") as told:
        command("--check", str(path))
    assert "0123" not in str(told.value)
