"""Mouth shapes of espeak-ng's phonemes."""

# ruff: noqa: RUF001 - IPA letters look like others

import pytest

from speechpool.speech.local.visemes import viseme_id


@pytest.mark.parametrize(
    ("phoneme", "viseme"),
    [
        ("", 0),
        ("ˈ", 0),
        ("h", 12),
        ("ə", 1),
        ("ˈoʊ", 8),
        ("ˈɜː", 5),
        ("aɪ", 11),
        ("ˌaʊ", 9),
        ("ɔɪ", 10),
        ("dʒ", 16),
        ("θ", 19),
        ("ð", 17),
        ("ɹ", 13),
        ("ŋ", 20),
        ("m", 21),
        ("f", 18),
        ("w", 7),
        ("uː", 7),
        ("iː", 6),
        ("s", 15),
        ("l", 14),
        ("ɔː", 3),
        ("ɑː", 2),
        ("ɛ", 4),
        ("ǃ", None),
    ],
)
def test_a_phoneme_has_azures_viseme(phoneme, viseme):
    assert viseme_id(phoneme) == viseme
