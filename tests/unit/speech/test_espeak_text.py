"""What espeak-ng is given to read, and where in the caller's text a word of it stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechpool.errors import InvalidInput
from speechpool.speech.local.espeak_text import Piece, read_plain, read_ssml
from speechpool.speech.local.words import SpokenText
from speechpool.speech.ssml import spoken_text

VOICES = {"coral": "en-us+f3", "echo": "en-us+m1", "de-de": "de", "de": "de"}


def resolve(name: str) -> str:
    try:
        return VOICES[name.casefold()]
    except KeyError:
        raise InvalidInput("unknown", param="voice", code="voice_not_found") from None


def read(document: str) -> list[Piece]:
    return read_ssml(document, "en-us", resolve)


def written(document: str) -> list[tuple[str, str]]:
    return [(piece.voice, piece.read) for piece in read(document)]


# --- words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pointers", "words"),
    [
        ("Hello, world!", [(0, 5), (7, 5)], ["Hello", "world"]),
        ("it costs $25 today", [(0, 2), (3, 5), (9, 1), (10, 2), (11, 2), (13, 5)], ["it", "costs", "$25", "today"]),
        ("3.14", [(0, 4), (1, 4), (1, 4)], ["3.14"]),
        ("don't (really) stop.", [(0, 3), (7, 6), (15, 4)], ["don't", "really", "stop"]),
        ("R & D", [(0, 1), (2, 1), (4, 1)], ["R", "&", "D"]),
        ("你好 世界", [(0, 1), (1, 1), (3, 1), (4, 1)], ["你", "好", "世", "界"]),
        ("日本語のテスト", [(0, 7)] * 7, ["日本語のテスト"]),
        ("one", [(0, 3), (99, 3), (-1, 2)], ["one"]),
        ("", [(0, 1)], []),
        ("  ", [(0, 1), (1, 1)], []),
    ],
)
def test_each_written_word_is_told_once_and_whole(text, pointers, words):
    spoken = SpokenText.plain(text)
    told = [word for word in (spoken.word_at(*pointer) for pointer in pointers) if word]
    assert [word for word, _, _ in told] == words
    assert all(text[offset : offset + length] == word for word, offset, length in told)


@given(st.text(max_size=40), st.lists(st.tuples(st.integers(-2, 45), st.integers(0, 9)), max_size=20))
def test_words_stand_in_the_text_and_come_in_order(text, pointers):
    spoken = SpokenText.plain(text)
    told = [word for word in (spoken.word_at(*pointer) for pointer in pointers) if word]
    assert all(length > 0 and text[offset : offset + length] == word for word, offset, length in told)
    ends = [offset + length for _, offset, length in told]
    assert all(end <= offset for end, (_, offset, _) in zip(ends, told[1:], strict=False))


# --- plain text ----------------------------------------------------------------------------------------------------


def test_plain_text_is_read_as_it_is():
    (piece,) = read_plain("a < b & c", "en-us")
    assert (piece.read, piece.is_ssml, piece.voice) == ("a < b & c", False, "en-us")


def test_plain_text_with_control_characters_is_refused():
    with pytest.raises(InvalidInput, match=r"U\+0001"):
        read_plain("\x01", "en-us")


# --- SSML ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("<speak>hi</speak>", "<speak>hi</speak>"),
        ("<speak xml:lang='de-DE' version='1.0'>hi</speak>", "<speak>hi</speak>"),
        ("<speak>a &lt; b &amp; c<!-- no --></speak>", "<speak>a &lt; b &amp; c</speak>"),
        ("<speak><![CDATA[<b>]]></speak>", "<speak>&lt;b&gt;</speak>"),
        ('<speak>a<break time="1s"/>b</speak>', '<speak>a<break time="1s"/>b</speak>'),
        ("<speak>a<bookmark mark='x'/>b<mark name='y'/></speak>", '<speak>a<mark name="0"/>b<mark name="1"/></speak>'),
        ("<speak><p><s>a</s></p></speak>", "<speak><p><s>a</s></p></speak>"),
        ("<speak><x:y z='1'>a</x:y><w>b</w></speak>", "<speak>ab</speak>"),
        ('<speak><audio src="a.wav">beep</audio></speak>', "<speak>beep</speak>"),
    ],
)
def test_ssml_is_written_anew_with_what_espeak_handles(document, expected):
    assert written(document) == [("en-us", expected)]


def test_marks_keep_their_names():
    (piece,) = read("<speak>a<bookmark mark='x &amp; y'/>b<mark name='z'/><mark/></speak>")
    assert piece.marks == ("x & y", "z", "")


def test_a_piece_begins_where_the_voice_changes_with_the_open_elements_opened_again():
    document = (
        '<speak>one <prosody rate="fast">two <voice name="coral">three <lang xml:lang="de-DE">vier</lang></voice>'
        " five</prosody></speak>"
    )
    fast = '<speak><prosody rate="fast">'
    end = "</prosody></speak>"
    assert written(document) == [
        ("en-us", '<speak>one <prosody rate="fast">two ' + end),
        ("en-us+f3", f"{fast}three {end}"),
        ("de", f"{fast}vier{end}"),
        ("en-us", f"{fast} five{end}"),
    ]


def test_pieces_in_which_nothing_is_said_are_left_out():
    assert written('<speak>\n<voice name="echo">a</voice>\n</speak>') == [("en-us+m1", "<speak>a</speak>")]
    assert written("<speak> </speak>") == []
    assert written('<speak><break time="1s"/></speak>') == [("en-us", '<speak><break time="1s"/></speak>')]


def test_a_voice_may_be_chosen_by_gender():
    assert [voice for voice, _ in written('<speak><voice gender="female">a</voice></speak>')] == ["en-us+f2"]


def test_an_unknown_voice_is_refused():
    with pytest.raises(InvalidInput) as caught:
        read('<speak><voice name="nobody">a</voice></speak>')
    assert caught.value.code == "voice_not_found"


def test_audio_without_text_to_say_instead_is_refused():
    with pytest.raises(InvalidInput, match="<audio>") as caught:
        read('<speak>a <audio src="a.wav"/></speak>')
    assert caught.value.code == "unsupported_ssml"


def test_words_of_ssml_are_found_in_the_callers_document():
    document = '<speak>caf&#xe9; R&amp;D <b>won</b>der <voice name="coral">tea&gt;time</voice></speak>'
    told = []
    for piece in read(document):
        starts = [i for i in range(len(piece.read)) if piece.read[i].isalnum()]
        told += [word for word in (piece.spoken.word_at(i, 1) for i in starts) if word]
    assert [(word, document[offset : offset + length]) for word, offset, length in told] == [
        ("café", "caf&#xe9;"),
        ("R&D", "R&amp;D"),
        ("won", "won"),
        ("der", "der"),
        ("tea>time", "tea&gt;time"),
    ]


ELEMENTS = st.sampled_from(["p", "s", "prosody", "emphasis", "voice name='coral'", "x:y", "sub alias='b'"])
TREES = st.recursive(
    st.text("ab &<é", max_size=5).map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;")),
    lambda inner: st.tuples(ELEMENTS, st.lists(inner, max_size=3)).map(
        lambda tree: f"<{tree[0]}>{''.join(tree[1])}</{tree[0].split()[0]}>"
    ),
    max_leaves=12,
)


@given(TREES)
def test_whatever_is_written_is_well_formed_and_says_the_same(tree):
    document = f"<speak>{tree}</speak>"
    said = "".join(spoken_text(piece.read) for piece in read(document))
    assert "".join(said.split()) == "".join(spoken_text(document).split())
