from typing import Any

import pytest

from speechpool_azure_emulator.ledger import ConnectionRecord, Ledger, RecognitionRecord
from speechpool_azure_emulator.request import read_request, silence_seconds

HOST = "/speech/recognition/{}/cognitiveservices/v1"


def record(context: dict[str, Any], path: str = HOST.format("conversation"), **query: str) -> RecognitionRecord:
    ledger = Ledger(10)
    connection = ledger.connection_opened(
        kind="stt", path=path, query=query, credential="none", headers={}, asked_at=0.0
    )
    assert isinstance(connection, ConnectionRecord)
    found = ledger.recognition_begun(connection, "r")
    read_request(found, context)
    return found


@pytest.mark.parametrize("mode", ["interactive", "conversation", "dictation"])
def test_the_mode_is_in_the_path_or_in_the_context(mode: str) -> None:
    assert record({}, HOST.format(mode)).mode == mode
    assert record({"phraseDetection": {"mode": mode.upper()}}, "/stt/speech/universal/v2").mode == mode


def test_the_language_is_in_the_query_or_in_the_context() -> None:
    assert record({}, language="fr-FR").language == "fr-FR"
    assert record({"phraseDetection": {"language": "de-DE"}}).language == "de-DE"


def test_the_detailed_format_is_in_the_query_or_in_the_context() -> None:
    assert record({}, format="detailed").is_detailed
    assert record({"phraseOutput": {"format": "Detailed"}}).is_detailed
    assert not record({}).is_detailed


def test_candidates_of_language_identification_are_in_the_query_or_in_the_context() -> None:
    assert record({}, lidEnabled="en-US,fr-FR").languages == ("en-US", "fr-FR")
    assert record({"languageId": {"languages": ["en-US", "fr-FR"]}}).languages == ("en-US", "fr-FR")


def test_phrase_lists_are_noted() -> None:
    context = {"dgi": {"Groups": [{"Type": "Generic", "Items": [{"Text": "Contoso"}, {"Text": "Fabrikam"}]}]}}

    assert record(context).phrase_list == ("Contoso", "Fabrikam")


def test_the_silence_that_ends_a_segment_is_the_clients() -> None:
    context = {"phraseDetection": {"CONVERSATION": {"segmentation": {"segmentationSilenceTimeoutMs": 300}}}}

    assert silence_seconds(context, 0.5) == 0.3
    assert silence_seconds({}, 0.5) == 0.5


@pytest.mark.parametrize("context", [{"dgi": 3}, {"phraseDetection": []}, {"dgi": {"Groups": [{"Items": "x"}]}}])
def test_a_context_that_makes_no_sense_says_nothing(context: dict[str, Any]) -> None:
    found = record(context)

    assert (found.language, found.phrase_list, silence_seconds(context, 0.5)) == ("en-US", (), 0.5)
