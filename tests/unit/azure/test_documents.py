"""What Azure is sent for an utterance."""

import re

import pytest

from speechpool.errors import InvalidInput
from speechpool.speech.azure.documents import Document, check_length, document_of, language_of, rate_of
from speechpool.speech.engine import Utterance
from speechpool.speech.ssml import spoken_text

VOICE = "en-GB-RyanNeural"
ROOT = '<speak version="1.0" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="en-US">'


def made(text: str, **options: object) -> Document:
    return document_of(Utterance(**{"text": text, "voice": VOICE, **options}))  # type: ignore[arg-type]


def test_plain_text_is_escaped_inside_its_voice() -> None:
    assert made('R&D <b>"it\'s"</b>').ssml == (
        '<speak version="1.0" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="en-GB">'
        '<voice name="en-GB-RyanNeural">R&amp;D &lt;b&gt;&quot;it&apos;s&quot;&lt;/b&gt;</voice></speak>'
    )


@pytest.mark.parametrize("text", ["</voice></speak>", "]]>", "<!-- -->", '" style="', "&amp;", "a\tb\nc", "日本語 👍"])
def test_no_text_gets_out_of_its_document(text: str) -> None:
    assert spoken_text(made(text, speed=1.5, style="a\"'<&").ssml) == text


@pytest.mark.parametrize("voice", ['x"/><voice name="y', "x'y", "x<y>&"])
def test_no_voice_gets_out_of_its_attribute(voice: str) -> None:
    assert spoken_text(made("hello", voice=voice).ssml) == "hello"


def test_speed_and_style_are_inside_of_the_voice() -> None:
    ssml = made("hi", speed=1.5, style="cheerful").ssml
    assert 'xmlns:mstts="http://www.w3.org/2001/mstts"' in ssml
    assert (
        '<voice name="en-GB-RyanNeural"><mstts:express-as style="cheerful"><prosody rate="+50.00%">hi</prosody>'
        "</mstts:express-as></voice>"
    ) in ssml


@pytest.mark.parametrize(
    ("speed", "rate"), [(0.25, "-75.00%"), (0.9, "-10.00%"), (1.333, "+33.30%"), (4.0, "+300.00%")]
)
def test_rate(speed: float, rate: str) -> None:
    assert rate_of(speed) == rate


def test_a_whole_document_passes_as_it_is() -> None:
    document = f"<?xml version='1.0'?>{ROOT}<voice name='a>b'>Hi <break time='1s'/></voice></speak>"
    assert made(document, is_ssml=True).ssml == document


def test_a_document_without_voice_gets_the_utterances() -> None:
    assert made(f"{ROOT}Hi &amp; ho</speak>", is_ssml=True).ssml == (
        f'{ROOT}<voice name="en-GB-RyanNeural">Hi &amp; ho</voice></speak>'
    )


def test_what_the_root_element_lacks_is_added() -> None:
    ssml = made("<speak>Hi</speak>", is_ssml=True).ssml
    assert ssml.startswith('<speak version="1.0" xmlns="http://www.w3.org/2001/10/synthesis" xml:lang="en-GB"><voice')


def test_speed_applies_within_each_voice_of_a_document() -> None:
    document = f'{ROOT}<!-- <voice> --><voice name="a">Hi</voice><voice name="b"/><voice name="c">ho</voice></speak>'
    assert made(document, is_ssml=True, speed=2.0).ssml == (
        f'{ROOT}<!-- <voice> --><voice name="a"><prosody rate="+100.00%">Hi</prosody></voice><voice name="b"/>'
        '<voice name="c"><prosody rate="+100.00%">ho</prosody></voice></speak>'
    )


def test_markup_in_comments_and_cdata_is_not_markup() -> None:
    document = f"{ROOT}<!-- </speak> --><voice name='a'><![CDATA[</voice>]]></voice></speak>"
    ssml = made(document, is_ssml=True, speed=2.0).ssml
    assert spoken_text(ssml) == "</voice>"
    assert ssml.count("<prosody") == 1


def test_an_empty_document_stays_empty() -> None:
    assert spoken_text(made("<speak/>", is_ssml=True).ssml) == ""
    assert not made("<speak/>", is_ssml=True).has_words


@pytest.mark.parametrize("document", ["<speak>", "hello", "<p>hello</p>", "<speak>&nope;</speak>"])
def test_what_is_no_document_is_refused(document: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        made(document, is_ssml=True)
    assert refused.value.param == "input"


def test_bookmarks_are_noticed() -> None:
    assert made('<speak>a<bookmark mark="x"/></speak>', is_ssml=True).has_bookmarks
    assert not made("<speak>bookmark</speak>", is_ssml=True).has_bookmarks


@pytest.mark.parametrize(
    ("mark", "bookmark"),
    [
        ('<mark name="x"/>', '<bookmark mark="x"/>'),
        ("<mark name='mark name' />", "<bookmark mark='mark name' />"),
        ('<mark name = "&lt;a&gt;"></mark >', '<bookmark mark = "&lt;a&gt;"></bookmark >'),
        ("<mark xml:id=\" name='y'\" name='>'/>", "<bookmark xml:id=\" name='y'\" mark='>'/>"),
        ('<bookmark mark="name"/>', '<bookmark mark="name"/>'),
        ('<!-- <mark name="x"/> -->', '<!-- <mark name="x"/> -->'),
        ('<![CDATA[<mark name="x"/>]]>', '<![CDATA[<mark name="x"/>]]>'),
    ],
)
def test_a_mark_as_the_standard_writes_it_is_a_bookmark_as_azure_does(mark: str, bookmark: str) -> None:
    document = made(f'{ROOT}<voice name="a">one{mark}</voice></speak>', is_ssml=True)
    assert document.ssml == f'{ROOT}<voice name="a">one{bookmark}</voice></speak>'
    assert document.has_bookmarks is ("!" not in mark)


@pytest.mark.parametrize(("text", "has_words"), [("hello", True), ("7", True), ("…", False), (" 👍 !", False)])
def test_has_words(text: str, has_words: bool) -> None:
    assert made(text).has_words is has_words


def test_more_than_64_kilobytes_are_refused_with_the_bound() -> None:
    with pytest.raises(InvalidInput, match="at most 65536") as refused:
        made("ä" * 33_000, speed=4.0)
    assert (refused.value.param, refused.value.code) == ("input", "input_too_long")


def test_more_than_ten_minutes_of_audio_are_refused_with_the_bound() -> None:
    with pytest.raises(InvalidInput, match=r"15001 characters.*600 s.*15000 characters at speed 1"):
        made("a" * 15_001)
    made("a" * 15_000)
    check_length(15_001, 2.0)
    with pytest.raises(InvalidInput):
        check_length(7_501, 0.5)


def test_more_than_fifty_voices_and_audios_are_refused_with_the_bound() -> None:
    inside = '<voice name="a">x</voice>' * 51
    with pytest.raises(InvalidInput, match=r"51 .*at most 50"):
        made(f"{ROOT}{inside}</speak>", is_ssml=True)


@pytest.mark.parametrize(
    ("voice", "language"),
    [
        ("en-US-AvaNeural", "en-US"),
        ("zh-CN-liaoning-XiaobeiNeural", "zh-CN"),
        ("sr-Latn-RS-NicholasNeural", "sr-Latn-RS"),
        ("es-419-XNeural", "es-419"),
        ("my-own-voice", "en-US"),
        ("alloy", "en-US"),
    ],
)
def test_language_of_a_voice(voice: str, language: str) -> None:
    assert language_of(voice) == language


def test_nothing_of_the_text_shows_in_its_repr() -> None:
    assert not re.search("swordfish", repr(made("swordfish")))
