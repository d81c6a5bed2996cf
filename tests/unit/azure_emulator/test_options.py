from typing import Any

import pytest

from speechpool.errors import SettingsError
from speechpool_azure_emulator.options import EmulatorOptions


def test_options_change_while_it_runs() -> None:
    assert EmulatorOptions().changed({"pace": 1.0}).pace == 1.0


def test_what_is_loaded_at_the_start_is_fixed() -> None:
    with pytest.raises(SettingsError, match=r"options.speech is fixed while the emulator runs; start another one"):
        EmulatorOptions().changed({"speech": "local"})


def test_what_is_written_as_json_is_read_the_same() -> None:
    options = EmulatorOptions(recognition="local", grammar=("open the door",), utterance_seconds=2.0)

    assert EmulatorOptions.parse(options.as_json()) == options


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"upgrade_seconds": -1}, "options.upgrade_seconds must be a number from 0 to 3600; got -1"),
        ({"chunk_seconds": 0}, "options.chunk_seconds must be a number from 0.01 to 10; got 0"),
        ({"pace": "fast"}, "options.pace must be a number from 0 to 1000; got 'fast'"),
        ({"tts_overlap": "mix"}, "options.tts_overlap must be one of continue, cut; got 'mix'"),
        ({"speech": "loud"}, "options.speech must be one of tones, local; got 'loud'"),
        ({"max_connection_code": 4.5}, "options.max_connection_code must be an integer from 1000 to 4999; got 4.5"),
        ({"grammar": ["x"]}, 'options.grammar is for recognition "local"'),
        ({"grammar": "x", "recognition": "local"}, "options.grammar must be a list of sentences; got str"),
        ({"grammar": [1], "recognition": "local"}, r"options.grammar\[0\] must be text; got int"),
        ({"spech": "tones"}, "options.spech is unknown; known are upgrade_seconds"),
        ([], "options must be an object; got list"),
    ],
)
def test_a_wrong_option_is_refused_with_its_name(values: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        EmulatorOptions.parse(values)
