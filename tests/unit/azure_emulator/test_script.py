import pytest

from speechpool_azure_emulator.script import BadScript, plain_script, ssml_script


def ssml(body: str, *, attributes: str = 'version="1.0" xml:lang="en-US"') -> str:
    return f"<speak {attributes}>{body}</speak>"


VOICE = "<voice name='en-US-AvaNeural'>{}</voice>"


def test_words_and_punctuation_come_in_order() -> None:
    script = plain_script("Hello, it's 3.5 o'clock!", "v", "en-US")

    assert [(word.text, word.kind) for word in script.words] == [
        ("Hello", "word"),
        (",", "punctuation"),
        ("it's", "word"),
        ("3.5", "word"),
        ("o'clock", "word"),
        ("!", "punctuation"),
    ]


def test_sentences_end_with_their_mark() -> None:
    sentences = plain_script("One two. Three! And", "v", "").sentences()

    assert [" ".join(word.text for word in sentence) for sentence in sentences] == ["One two .", "Three !", "And"]


def test_ssml_is_read_for_its_voices_text_and_marks() -> None:
    body = VOICE.format("a<bookmark mark='here'/>b") + "<voice name='en-US-GuyNeural'>c</voice>"
    script = ssml_script(ssml(body))

    assert script.voices == ("en-US-AvaNeural", "en-US-GuyNeural")
    assert (script.text, script.language) == ("abc", "en-US")
    assert [(word.text, word.kind) for word in script.words] == [
        ("a", "word"),
        ("here", "bookmark"),
        ("bc", "word"),
    ]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("no markup", "syntax error"),
        ("<speak", "unclosed token"),
        (ssml("<voice name='x'>y"), "mismatched tag"),
        ("<ssml/>", "root element must be <speak>"),
        ("<!DOCTYPE speak []>" + ssml(VOICE), "document type"),
        (ssml(VOICE, attributes=""), "xml:lang"),
        (ssml("hello"), "element voice"),
        (ssml("<voice>hello</voice>"), "attribute name"),
        (ssml(VOICE.format("x") * 51), "50 voice and audio elements"),
        (ssml(VOICE.format("x" * 66_000)), "65536 bytes"),
    ],
)
def test_what_the_service_would_refuse_is_refused_with_a_reason(document: str, reason: str) -> None:
    with pytest.raises(BadScript, match=reason):
        ssml_script(document)
