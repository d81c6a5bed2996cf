"""SSML read without trusting it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechpool.errors import InvalidInput
from speechpool.speech.ssml import SsmlText, check_text, escape, parse, spoken_text, wrap


def texts(document: str) -> list[SsmlText]:
    return [part for part in parse(document) if isinstance(part, SsmlText)]


@pytest.mark.parametrize(
    ("document", "spoken"),
    [
        ("<speak>hello</speak>", "hello"),
        ("<speak/>", ""),
        ('<?xml version="1.0" encoding="utf-16"?>\n<speak>déjà 😀</speak>\n', "déjà 😀"),
        ("<speak>R&amp;D &#65;&#x1F600;</speak>", "R&D A😀"),
        ("<speak><![CDATA[1 < 2]]></speak>", "1 < 2"),
        ("<speak>a<!-- nobody says this -->b</speak>", "ab"),
        ("<speak>a<?php echo 1 ?>b</speak>", "ab"),
        ("<speak><metadata>x</metadata><desc>y</desc>z</speak>", "z"),
        ('<speak xmlns:mstts="x"><mstts:express-as style="sad">oh</mstts:express-as></speak>', "oh"),
        ("<speak>one\r\ntwo</speak>", "one\ntwo"),
    ],
)
def test_the_spoken_text_is_what_stands_between_the_tags(document, spoken):
    assert spoken_text(document) == spoken


@pytest.mark.parametrize(
    "document",
    [
        "",
        "hello",
        "<speak>",
        "<speak>a</speak>b",
        "<speak>a</speak><speak>b</speak>",
        "<speak>a & b</speak>",
        "<speak><p>a</speak></p>",
        "<speak a=1>a</speak>",
        "<voice>a</voice>",
        "<SPEAK>a</SPEAK>",
        "<speak>&undefined;</speak>",
        "<speak>" * 65 + "</speak>" * 65,
    ],
)
def test_what_is_not_ssml_is_refused_without_being_quoted(document):
    with pytest.raises(InvalidInput, match="input is not valid SSML: ") as caught:
        parse(document)
    assert (caught.value.param, caught.value.code) == ("input", "invalid_ssml")


def test_the_error_says_where():
    with pytest.raises(InvalidInput, match="mismatched tag at line 2, column 7"):
        parse("<speak>\n<p>a</speak>")


def test_a_document_type_is_refused_before_its_entities_are_read():
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    bomb = f'<!DOCTYPE speak [<!ENTITY e0 "ha">{entities}]><speak>&e11;</speak>'
    with pytest.raises(InvalidInput, match="document type is not allowed"):
        parse(bomb)


@pytest.mark.parametrize(
    "document", ['<!DOCTYPE speak SYSTEM "file:///etc/passwd"><speak/>', "<!DOCTYPE speak><speak/>"]
)
def test_every_document_type_is_refused(document):
    with pytest.raises(InvalidInput, match="document type is not allowed"):
        parse(document)


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x80", "\ud800", "\ufffe"])
def test_control_characters_are_refused_with_their_place(character):
    with pytest.raises(InvalidInput, match=rf"U\+{ord(character):04X} at position 3; remove it") as caught:
        check_text(f"abc{character}d")
    assert caught.value.code == "invalid_characters"


def test_tabs_line_ends_and_every_script_are_text():
    check_text("a\tb\r\nc\x85 ½ déjà 日本語 עברית 😀 \u200d \ufeff")


@pytest.mark.parametrize(
    "document",
    ["<speak>héllo &amp; <b>wörld</b>\r\n&#x41;\n😀 end</speak>", "<speak><![CDATA[a & b]]> c</speak>"],
)
def test_positions_are_the_documents_own(document):
    for part in texts(document):
        written = document[part.start : part.end]
        assert written == part.text or written.startswith("&") or written == "\r\n"


def test_a_reference_is_one_place_also_where_it_stands_for_its_own_first_character():
    document = "<speak>a&amp;b<![CDATA[&amp;]]></speak>"
    written = [(part.text, document[part.start : part.end], part.is_cdata) for part in texts(document)]
    assert written == [("a", "a", False), ("&", "&amp;", False), ("b", "b", False), ("&amp;", "&amp;", True)]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=60))
def test_any_text_survives_being_wrapped(text):
    document = wrap(text, voice='a "quoted" <voice>', language="en-US")
    assert spoken_text(document) == text


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text):
    """Nothing but InvalidInput comes out of the parser, whatever goes in."""
    for document in (text, f"<speak>{text}</speak>"):
        try:
            parse(document)
        except InvalidInput:
            continue


def test_escaped_text_is_safe_in_an_attribute():
    assert escape("""<a href="x">'&'</a>""") == "&lt;a href=&quot;x&quot;&gt;&apos;&amp;&apos;&lt;/a&gt;"


class CountedBytes(bytes):
    """Counts how much of it was read by slices."""

    read = 0

    def __getitem__(self, key):
        piece = super().__getitem__(key)
        self.read += len(piece)
        return piece


class CountedText(str):
    """Keeps the bytes that it was encoded to."""

    def encode(self, *how):
        self.encoded = CountedBytes(super().encode(*how))
        return self.encoded


def test_a_long_document_takes_time_in_proportion():
    """Positions are kept as they come: a document of many references is not read again for each of them."""
    document = CountedText("<speak>" + "a&amp;é" * 1_000 + "</speak>")
    assert len(texts(document)) == 2_001
    assert 0 < document.encoded.read <= len(document.encoded)
