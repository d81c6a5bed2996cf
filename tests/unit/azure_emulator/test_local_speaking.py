import pytest

from speechpool_azure_emulator.local_speaking import between, local_ssml


@pytest.mark.parametrize(
    ("gap", "marks", "begins"),
    [
        (" ", [], False),
        (", ", [","], False),
        ("! ", ["!"], True),
        (". <break time='1s'/> ", ["."], True),
        (" <prosody rate='slow'>", [], False),
        (" &amp; ", [], False),
    ],
)
def test_what_lies_between_two_words_is_punctuation_or_markup(gap: str, marks: list[str], begins: bool) -> None:
    assert between(gap, is_first=False) == (marks, begins)


def test_the_first_word_begins_a_sentence() -> None:
    assert between("", is_first=True) == ([], True)


def test_voices_are_replaced_and_nothing_else() -> None:
    document = "<speak><voice xml:lang='de' name = \"de-DE-KatjaNeural\">name='x'</voice></speak>"
    replaced = local_ssml(document, lambda name: {"de-DE-KatjaNeural": "de+f2"}[name])

    assert replaced == "<speak><voice xml:lang='de' name = \"de+f2\">name='x'</voice></speak>"
