import json

from speechpool_azure_emulator.script import plain_script, ssml_script
from speechpool_azure_emulator.timeline import Entry, entries_of, wanted

CONTEXT = {"synthesis": {"audio": {"metadataOptions": {"wordBoundaryEnabled": True, "visemeEnabled": False}}}}


def shown(text: str) -> list[tuple[str, float, str]]:
    entries = entries_of(plain_script(text, "v", "en-US"), 0.5)
    return [(entry.kind, entry.offset_seconds, entry.data.get("text", {}).get("Text", "")) for entry in entries]


def test_words_follow_each_other_and_sentences_span_theirs() -> None:
    assert [entry for entry in shown("Good day. Yes") if entry[0] != "Viseme"] == [
        ("SentenceBoundary", 0.0, "Good day"),
        ("WordBoundary", 0.0, "Good"),
        ("WordBoundary", 0.5, "day"),
        ("WordBoundary", 1.0, "."),
        ("SentenceBoundary", 1.0, "Yes"),
        ("WordBoundary", 1.0, "Yes"),
    ]


def test_each_word_shows_on_the_mouth() -> None:
    assert [entry[1] for entry in shown("Good day") if entry[0] == "Viseme"] == [0.0, 0.5]


def test_bookmarks_are_reached_between_words() -> None:
    document = "<speak xml:lang='en-US'><voice name='v'>a <bookmark mark='here'/> b</voice></speak>"
    marks = [entry for entry in entries_of(ssml_script(document), 0.5) if entry.kind == "Bookmark"]

    assert [(mark.offset_seconds, mark.data) for mark in marks] == [(0.5, {"Bookmark": "here"})]


def test_only_what_was_asked_for_is_wanted() -> None:
    assert wanted(Entry("WordBoundary", 0.0, {}, "wordBoundaryEnabled"), CONTEXT)
    assert not wanted(Entry("Viseme", 0.0, {}, "visemeEnabled"), CONTEXT)
    assert not wanted(Entry("Bookmark", 0.0, {}, "bookmarkEnabled"), {})
    assert wanted(Entry("SessionEnd", 0.0), {})


def test_times_are_told_in_units_of_100_nanoseconds() -> None:
    body = json.loads(Entry("SessionEnd", 1.5).as_json(shift_seconds=0.25))

    assert body == {"Metadata": [{"Type": "SessionEnd", "Data": {"Offset": 17_500_000}}]}
