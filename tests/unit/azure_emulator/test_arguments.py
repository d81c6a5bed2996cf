import pytest

from speechpool.errors import SettingsError
from speechpool_azure_emulator.arguments import parse_arguments
from speechpool_azure_emulator.faults import Fault


def test_options_reach_the_emulator() -> None:
    arguments = parse_arguments(["--port", "0", "--pace", "1", "--key", "a=s", "--transcript", "hello"])

    assert arguments.emulator["port"] == 0
    assert arguments.emulator["options"].pace == 1.0
    assert arguments.emulator["keys"] == {"a": "s"}
    assert arguments.emulator["tokens"] is None
    assert arguments.emulator["transcripts"] == ["hello"]


def test_faults_are_json() -> None:
    arguments = parse_arguments(["--fault", '{"at": "request", "action": "reset", "times": 1}'])

    assert arguments.faults == [Fault(at="request", action="reset", times=1)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pace", "-1"], "options.pace must be a number from 0 to 1000"),
        (["--fault", "{"], "--fault must be JSON"),
        (["--fault", '{"at": "request"}'], r"faults\[0\].action is missing"),
        (["--key", "secret"], "--key must be NAME=SECRET"),
        (["--grammar", "hello"], 'options.grammar is for recognition "local"'),
    ],
)
def test_a_wrong_option_is_refused_with_its_name(words: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_arguments(words)


@pytest.mark.parametrize("words", [["--pcae", "1"], ["--port", "x"], ["--port", "70000"], ["--speech", "loud"]])
def test_words_it_does_not_know_end_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parse_arguments(words)

    assert raised.value.code == 2
    assert "speechpool-azure-emulator --help" in capsys.readouterr().err


def test_the_help_tells_of_every_option_and_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parse_arguments(["--help"])
    told = capsys.readouterr().out

    assert raised.value.code == 0
    assert all(word in told for word in ("--first-chunk-seconds", "hang_up", "turn_start", "exit codes"))
