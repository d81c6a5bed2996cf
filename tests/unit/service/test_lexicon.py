# ruff: noqa: RUF001 - IPA letters and real apostrophes look like others
"""The lexicon: which words it finds, what the engine reads for them, and the way back to the caller's own text."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from speechpool.errors import InvalidInput, SettingsError
from speechpool.service.lexicon import Lexicon, LexiconStream, check_lexicon
from speechpool.service.readings import Reading, SourceWords
from speechpool.settings import LexiconEntry
from speechpool.speech.engine import WordBoundary
from speechpool.speech.ssml import ElementEnd, ElementStart, SsmlText, parse, spoken_text

LIMITS = examples(deadline=None, derandomize=True)  # no clock in a test


def alias(word: str, said: str) -> LexiconEntry:
    return LexiconEntry(word=word, alias=said)


def ipa(word: str, sounds: str) -> LexiconEntry:
    return LexiconEntry(word=word, ipa=sounds)


def read(text: str, *entries: LexiconEntry, is_ssml: bool = False, more_characters: int = 10_000) -> Reading:
    return Lexicon(entries).read(text, is_ssml=is_ssml, more_characters=more_characters)


def word(reading: Reading, offset: int, length: int, duration: float | None = 0.5) -> WordBoundary:
    """A word as the engine tells it."""
    return WordBoundary(
        text=reading.text[offset : offset + length],
        audio_offset_seconds=1.0,
        duration_seconds=duration,
        text_offset=offset,
        text_length=length,
    )


def words(reading: Reading) -> list[tuple[str, int, int]]:
    """What a caller is told, where the engine tells every word of what it reads."""
    visible = reading.text
    if reading.is_ssml:
        visible = re.sub(r"<[^>]*>", lambda tag: " " * len(tag.group()), visible)
    source = SourceWords(reading)
    told = [source.find(word(reading, *_place(found))) for found in re.finditer(r"(?:\w|&\w+;|')+", visible)]
    return [(each.text, each.text_offset, each.text_length) for each in told if each]


def _place(found: re.Match[str]) -> tuple[int, int]:
    return found.start(), found.end() - found.start()


# --- which words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sql", "sequel"),
        ("SQL and Sql.", "sequel and sequel."),
        ("MySQL, sqlite, sql2, _sql, sql_", "MySQL, sqlite, sql2, _sql, sql_"),
        ("sql-server (sql) 'sql'", "sequel-server (sequel) 'sequel'"),
        ("sql's, SQL’S, sql'd", "sequel's, sequel’S, sql'd"),
        ("nosql sqls", "nosql sqls"),
        ("sqlé", "sqlé"),
        ("sql\u0301", "sql\u0301"),
        ("", ""),
    ],
)
def test_a_word_in_lower_case_is_found_whole_in_any_case(text, expected):
    assert read(text, alias("sql", "sequel")).text == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("US", "America"), ("us", "us"), ("Us", "Us"), ("give US to us", "give America to us")],
)
def test_a_word_with_a_capital_is_found_as_it_is_written(text, expected):
    assert read(text, alias("US", "America")).text == expected


def test_of_both_the_one_that_says_the_case_wins():
    entries = [alias("us", "you and me"), alias("US", "America")]
    assert read("us US Us", *entries).text == "you and me America you and me"
    assert read("us US Us", *reversed(entries)).text == "you and me America you and me"


@pytest.mark.parametrize(
    ("text", "entry", "expected"),
    [
        ("I'm 5 m away", alias("m", "metres"), "I'm 5 metres away"),
        ("don't don", alias("don", "Donald"), "don't Donald"),
        ("don't", alias("don't", "do not"), "do not"),
        ("5% or 5 %", alias("%", " percent"), "5 percent or 5  percent"),
        ("C++ and C", alias("C++", "see plus plus"), "see plus plus and C"),
        (".NET and ASP.NET", alias(".NET", " dot net"), " dot net and ASP dot net"),
        ("5km 5 km", alias("km", "kilometres"), "5km 5 kilometres"),
        ("Straße STRASSE", alias("straße", "street"), "street STRASSE"),
        ("我在重庆。", alias("重庆", "Chóngqìng"), "我在Chóngqìng。"),
        ("ไปกรุงเทพค่ะ", alias("กรุงเทพ", "Bangkok"), "ไปBangkokค่ะ"),
        ("ค่ะ", alias("ค", "x"), "ค่ะ"),
        ("हिन्दी हि", alias("हि", "x"), "हिन्दी x"),
        ("New  York, New\nYork", alias("new york", "N Y"), "N Y, N Y"),
        ("AT&T", alias("AT&T", "A T and T"), "A T and T"),
        ("a.b", alias("a.b", "x"), "x"),
        ("axb", alias("a.b", "x"), "axb"),
    ],
)
def test_what_a_whole_word_is(text, entry, expected):
    assert read(text, entry).text == expected


def test_the_longest_wins_and_what_was_put_in_is_not_looked_at_again():
    entries = [alias("new", "old"), alias("new york", "new amsterdam"), alias("old", "new")]
    assert read("new york, old, new, new yorks", *entries).text == "new amsterdam, new, old, old yorks"


# --- what is read --------------------------------------------------------------------------------------------------


def test_a_text_without_a_word_of_it_is_read_as_it_is():
    text = "nothing <here> & nothing there"
    assert read(text, alias("sql", "sequel"), ipa("live", "laɪv")) == Reading(text, False, text, False)
    assert read(text) == Reading(text, False, text, False)


def test_an_alias_leaves_plain_text_plain():
    reading = read("a < b & SQL", alias("sql", "<b>"))
    assert (reading.text, reading.is_ssml) == ("a < b & <b>", False)


def test_phonemes_make_ssml_of_plain_text():
    reading = read("a < b & SQL live", ipa("live", "l'aɪv"), alias("sql", "R&D"))
    assert reading.is_ssml
    assert reading.text == (
        '<speak>a &lt; b &amp; R&amp;D <phoneme alphabet="ipa" ph="l&apos;aɪv">live</phoneme></speak>'
    )
    assert spoken_text(reading.text) == "a < b & R&D live"


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("SQL", "R&amp;D"),
        ("<p>SQL</p><s>sql</s>", "<p>R&amp;D</p><s>R&amp;D</s>"),
        ("<sub alias='SQL'>SQL</sub>", None),
        ("<phoneme alphabet='ipa' ph='sql'>SQL</phoneme>", None),
        ("<say-as interpret-as='characters'>SQL <b>SQL</b> SQL</say-as>", None),
        ("<break time='sql'/><mark name='SQL'/>", None),
        ("<!-- SQL --><?sql SQL?>", None),
        ("<![CDATA[SQL]]> SQL", "<![CDATA[SQL]]> R&amp;D"),
        ("SQL<break/>ite", "R&amp;D<break/>ite"),
        ("&#83;QL", "R&amp;D"),
        ("<desc>SQL</desc>", None),
        ("<sub alias='a'>SQL</sub> SQL", "<sub alias='a'>SQL</sub> R&amp;D"),
    ],
)
def test_of_ssml_only_text_is_touched_that_says_nothing_else(inside, expected):
    document = f"<speak>{inside}</speak>"
    reading = read(document, alias("sql", "R&D"), is_ssml=True)
    assert reading.text == (document if expected is None else f"<speak>{expected}</speak>")
    assert reading.is_ssml


def test_phonemes_go_around_the_callers_own_characters():
    reading = read("<speak>AT&amp;T &lt;</speak>", ipa("at&t", "eɪtiː"), is_ssml=True)
    assert reading.text == '<speak><phoneme alphabet="ipa" ph="eɪtiː">AT&amp;T</phoneme> &lt;</speak>'
    assert words(reading)[0] == ("AT&T", 7, 8)


def test_a_reference_is_replaced_whole():
    reading = read("<speak>R&amp;D &#38; C</speak>", alias("&", " and "), ipa("c", "siː"), is_ssml=True)
    assert reading.text == '<speak>R and D  and  <phoneme alphabet="ipa" ph="siː">C</phoneme></speak>'
    assert words(reading) == [("R", 7, 1), ("&", 8, 5), ("D", 13, 1), ("&", 15, 5), ("C", 21, 1)]


def test_ssml_that_is_none_is_refused():
    with pytest.raises(InvalidInput) as caught:
        read("<speak>SQL", alias("sql", "sequel"), is_ssml=True)
    assert caught.value.code == "invalid_ssml"


def test_a_text_that_grows_too_much_is_refused():
    assert read("a a", alias("a", "x" * 50), more_characters=98).text == "x" * 50 + " " + "x" * 50
    with pytest.raises(InvalidInput, match="97 characters") as caught:
        read("a a", alias("a", "x" * 50), more_characters=97)
    assert (caught.value.param, caught.value.code) == ("input", "input_too_long")


def test_an_engine_without_phonemes_is_told_which_entry_it_cannot_say():
    entries = [alias("SQL", "sequel"), ipa("live", "laɪv")]
    check_lexicon(entries, phonemes=True, engine="one")
    check_lexicon(entries[:1], phonemes=False, engine="one")
    with pytest.raises(SettingsError, match=r"lexicon\[1\]\.ipa \(of 'live'\): engine 'one' speaks no phonemes"):
        check_lexicon(entries, phonemes=False, engine="one")


# --- the way back --------------------------------------------------------------------------------------------------


def test_words_come_back_as_they_were_written():
    reading = read("My SQL's live.", alias("sql", "ess queue ell"), ipa("live", "laɪv"))
    assert words(reading) == [("My", 0, 2), ("SQL", 3, 3), ("live", 9, 4)]


def test_a_word_that_goes_on_behind_an_entry_is_told_whole():
    reading = read("My SQL's, too", alias("sql", "sequel"))
    assert words(reading) == [("My", 0, 2), ("SQL's", 3, 5), ("too", 10, 3)]


def test_a_phrase_is_one_word_and_the_length_of_its_audio_is_not_known():
    reading = read("in New York now", alias("new york", "the big apple"))
    source = SourceWords(reading)
    the, big, now = (source.find(word(reading, *place)) for place in ((3, 3), (7, 3), (17, 3)))
    assert the is not None
    assert (the.text, the.text_offset, the.text_length, the.duration_seconds) == ("New York", 3, 8, None)
    assert big is None
    assert now == replace(word(reading, 17, 3), text_offset=12)


def test_the_same_entry_twice_is_told_twice():
    assert words(read("sql sql", alias("sql", "a b"))) == [("sql", 0, 3), ("sql", 4, 3)]


def test_an_entry_inside_a_longer_word_of_the_engine_is_told_with_it():
    reading = read("MS-SQL now", alias("sql", "ess queue ell"))
    source = SourceWords(reading)
    told = [source.find(word(reading, *place)) for place in ((0, 6), (7, 5), (13, 3), (17, 3))]
    assert [each and (each.text, each.text_offset) for each in told] == [("MS-SQL", 0), None, None, ("now", 7)]


def test_one_word_for_another_keeps_its_length_in_time():
    reading = read("SQL", alias("sql", "sequel"))
    told = SourceWords(reading).find(word(reading, 0, 6))
    assert told is not None
    assert (told.text, told.duration_seconds) == ("SQL", 0.5)


def test_an_engine_that_finds_a_word_only_about_there_tells_the_entry_once():
    reading = read("My SQL", alias("sql", "sequel server"))
    source = SourceWords(reading)
    told = [source.find(word(reading, offset, 0)) for offset in (3, 3, 10)]
    assert [each and (each.text, each.text_offset, each.text_length) for each in told] == [("SQL", 3, 3), None, None]


@pytest.mark.parametrize(("offset", "length"), [(-3, 2), (0, 0), (500, 3), (2, 500)])
def test_an_engine_that_points_nowhere_is_borne(offset, length):
    reading = read("My SQL", alias("sql", "sequel"))
    told = SourceWords(reading).find(word(reading, offset, length))
    assert told is not None
    assert 0 <= told.text_offset <= told.text_offset + told.text_length <= len("My SQL")


# --- long documents ------------------------------------------------------------------------------------------------


def calls_of(work: Callable[[], object]) -> int:
    """How many functions it calls: what it costs, whatever else the machine does."""
    count = 0

    def note(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(
    ("part", "most_for_a_character"),
    [("<s>one, two and three.</s> ", 1.3), ("a b c d ", 1.2), (",.!;:- ", 0.1), ("<break/>", 0.7), ("R &amp; D ", 2.2)],
)
def test_a_long_document_is_looked_through_in_few_steps(part, most_for_a_character):
    document = f"<speak>{part * (16_000 // len(part))}</speak>"
    lexicon = Lexicon([alias("sql", "sequel"), alias("sql server", "the server")])
    steps = calls_of(lambda: lexicon.read(document, is_ssml=True, more_characters=1))
    assert steps / len(document) < most_for_a_character


# --- text that comes piece by piece --------------------------------------------------------------------------------


def streamed(pieces: list[str], *entries: LexiconEntry) -> list[str]:
    stream = LexiconStream(Lexicon(entries), more_characters=10_000)
    return [*(stream.add(piece) for piece in pieces), stream.flush()]


def test_what_begins_no_entry_goes_on_at_once():
    assert streamed(["The t", "able is ", "set."], alias("sql", "sequel")) == ["The t", "able is ", "set.", ""]


def test_what_may_become_an_entry_waits_until_it_is_sure():
    entries = [alias("sql", "sequel"), alias("sql server", "the server"), alias("new york", "N Y")]
    assert streamed(["My s", "ql", " table"], *entries) == ["My ", "", "sequel table", ""]
    assert streamed(["My sql", " ser", "vants"], *entries) == ["My ", "", "sequel servants", ""]
    assert streamed(["sql serv", "er. "], *entries) == ["", "", "the server. "]
    assert streamed(["new", "  \n", "york", "ers"], *entries) == ["", "", "", "new  \nyorkers", ""]
    assert streamed(["sql"], *entries) == ["", "sequel"]
    assert streamed(["sql", "'", "s", "!"], *entries) == ["", "", "", "sequel's!", ""]


def test_words_of_a_stream_come_back_as_they_were_written():
    stream = LexiconStream(Lexicon([alias("sql", "ess queue ell")]), more_characters=100)
    source = SourceWords(stream.writer)
    text = "".join([stream.add("I know S"), stream.add("QL too"), stream.flush()])
    assert text == "I know ess queue ell too"
    told = [
        source.find(WordBoundary(text=found.group(), audio_offset_seconds=0.0, text_offset=at, text_length=length))
        for found in re.finditer(r"\w+", text)
        for at, length in [_place(found)]
    ]
    assert [(each.text, each.text_offset) for each in told if each] == [("I", 0), ("know", 2), ("SQL", 7), ("too", 11)]


def test_a_stream_that_grows_too_much_is_refused():
    stream = LexiconStream(Lexicon([alias("a", "x" * 50)]), more_characters=60)
    stream.add("a b ")
    with pytest.raises(InvalidInput, match="60 characters"):
        stream.add("a b ")


# --- for every text ------------------------------------------------------------------------------------------------

LETTERS = "abAB12_ '’-.,&<>\"é\u0301日ก\n"
TEXTS = st.text(LETTERS, max_size=60)
WORDS = st.text("abAB1&<.'日é ", min_size=1, max_size=5).map(lambda text: " ".join(text.split())).filter(bool)
ENTRIES = st.lists(
    st.one_of(
        st.builds(alias, WORDS, st.sampled_from(["a", "b a", "x y z", "<&>", "AB"])),
        st.builds(ipa, WORDS, st.sampled_from(["aɪ", "ɑ 'b"])),
    ),
    max_size=6,
    unique_by=lambda entry: entry.word,
)


def check_pieces(reading: Reading) -> None:
    """All of the caller's text is there once, in order, and what was copied is the same."""
    if not reading.pieces:
        assert reading.text == reading.source
        return
    assert reading.pieces[0].start == 0
    assert reading.pieces[-1].end == len(reading.source)
    for piece, after in zip(reading.pieces, reading.pieces[1:], strict=False):
        assert (piece.end, piece.read_end) == (after.start, after.read_start)
    for piece in reading.pieces:
        read_part = reading.text[piece.read_start : piece.read_end]
        assert not piece.is_copied or read_part == reading.source[piece.start : piece.end]


@LIMITS
@given(TEXTS, ENTRIES)
def test_every_word_that_is_told_stands_in_the_callers_text_in_order(text, entries):
    reading = read(text, *entries)
    check_pieces(reading)
    told = words(reading)
    assert all(text[offset : offset + length] == heard for heard, offset, length in told)
    ends = [offset + length for _, offset, length in told]
    assert all(end <= offset for end, (_, offset, _) in zip(ends, told[1:], strict=False))


@LIMITS
@given(TEXTS, ENTRIES)
def test_words_without_an_entry_are_told_as_without_a_lexicon(text, entries):
    reading = read(text, *entries)
    changed = [(piece.start, piece.end) for piece in reading.pieces if piece.said_words]
    alone = {
        (found.group(), *_place(found))
        for found in re.finditer(r"\w+", text)
        if all(found.end() + 2 < start or end < found.start() - 2 for start, end in changed)
        and not re.search("[&<>\"']", text[max(0, found.start() - 1) : found.end() + 1])
    }
    assert alone <= set(words(reading))


@LIMITS
@given(TEXTS, ENTRIES)
def test_plain_text_becomes_valid_ssml_that_says_the_same_where_nothing_is_said_otherwise(text, entries):
    reading = read(text, *(each for each in entries if each.ipa is not None))
    assert reading.is_ssml == bool(reading.pieces)
    if reading.is_ssml:
        assert spoken_text(reading.text) == text


@LIMITS
@given(st.lists(st.text(LETTERS, max_size=8), max_size=12), ENTRIES)
def test_a_stream_says_what_the_whole_text_says(pieces, entries):
    entries = [each for each in entries if each.alias is not None]
    stream = LexiconStream(Lexicon(entries), more_characters=10_000)
    said = "".join([*(stream.add(piece) for piece in pieces), stream.flush()])
    whole = read("".join(pieces), *entries)
    assert said == whole.text
    assert not whole.pieces or stream.writer.pieces == list(whole.pieces)


TAGS = st.sampled_from(["<p>", "</p>", "<sub alias='ab'>", "</sub>", "<break/>", "<!-- a -->", "&amp;", "&#97;", "ab"])


@LIMITS
@given(st.lists(TAGS | st.text("abAB é\n", max_size=6), max_size=12), ENTRIES)
def test_elements_and_attributes_of_ssml_stay_as_they_are(parts, entries):
    document = f"<speak>{''.join(parts)}</speak>"
    try:
        before = parse(document)
    except InvalidInput:
        return
    reading = read(document, *entries, is_ssml=True)
    check_pieces(reading)
    after = parse(reading.text)
    assert _elements(before) == [each for each in _elements(after) if each != "phoneme"]


def _elements(parts):
    ours = {"alphabet", "ph"}
    kept = [part for part in parts if not isinstance(part, SsmlText)]
    is_ours = [isinstance(part, ElementStart) and set(part.attributes) == ours for part in kept]
    ends = [isinstance(part, ElementEnd) and part.name == "phoneme" for part in kept]
    return ["phoneme" if each or end else part for part, each, end in zip(kept, is_ours, ends, strict=True)]
