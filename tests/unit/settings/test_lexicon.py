"""The lexicon as a setting: what it may hold, and what each wrong entry is told."""

import pytest

from speechpool.settings.kinds import Refused
from speechpool.settings.lexicon import MAX_ENTRIES, LexiconEntries, LexiconEntry

KIND = LexiconEntries()


def test_entries_are_read_and_written_back():
    given = [{"word": " New   York ", "alias": "the big\tapple"}, {"word": "Nguyen", "ipa": "wɪn"}]  # noqa: RUF001 - IPA
    read = KIND.of_value(given)
    assert read == (
        LexiconEntry(word="New York", alias="the big apple"),
        LexiconEntry(word="Nguyen", ipa="wɪn"),  # noqa: RUF001 - IPA
    )
    assert KIND.of_value(KIND.to_value(read)) == read
    assert KIND.of_value([]) == ()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([{"word": "a"}], "entry 1, 'a', must have either alias or ipa"),
        ([{"word": "a", "alias": "b", "ipa": "b"}], "entry 1, 'a', must have either alias or ipa"),
        ([{"word": "a", "alias": "b"}, {"word": "", "alias": "b"}], "word of entry 2 must have 1 to 100 characters"),
        ([{"word": "x" * 101, "alias": "b"}], "word of entry 1 must have 1 to 100 characters; it has 101"),
        ([{"word": "a", "alias": "x" * 201}], "alias of entry 1 must have 1 to 200 characters; it has 201"),
        ([{"word": 42, "alias": "b"}], "word of entry 1 must be text; quote it"),
        ([{"word": "a", "alias": 42}], "alias of entry 1 must be text; quote it"),
        ([{"alias": "b"}], "word of entry 1 must be text"),
        ([{"word": "a", "ipa": "/kat/"}], "ipa of entry 1 has '/'; write the sounds alone"),
        ([{"word": "a", "ipa": "[kat]"}], r"ipa of entry 1 has '\['"),
        ([{"word": "a", "says": "b"}], "entry 1 has 'says', and an entry has word and alias or ipa"),
        ([{"word": "a\x01", "alias": "b"}], r"word of entry 1 has the control character U\+0001"),
        ([{"word": "a", "alias": "b"}, {"word": "a", "alias": "c"}], "the word 'a' is there twice"),
        (["a"], "entry 1 must be a mapping"),
        ([{"word": str(number), "alias": "b"} for number in range(MAX_ENTRIES + 1)], "it has 1001 entries"),
        ({"a": "b"}, "^$"),
        ("a", "^$"),
    ],
)
def test_a_wrong_entry_is_named(given, reason):
    with pytest.raises(Refused, match=reason):
        KIND.of_value(given)


def test_it_is_not_for_the_environment():
    with pytest.raises(Refused, match="given in a file"):
        KIND.of_text("[{word: a, alias: b}]")
