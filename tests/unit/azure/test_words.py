"""Where words are in the caller's text."""

from speechpool.speech.azure.words import WordFinder
from speechpool.speech.ssml import SsmlText, parse


def of_document(document: str) -> WordFinder:
    return WordFinder.of_parts(part for part in parse(document) if isinstance(part, SsmlText))


def test_words_are_found_one_after_the_other() -> None:
    finder = WordFinder("one two, one")
    assert [finder.find(word) for word in ("one", "two", ",", "one")] == [(0, 3), (4, 3), (7, 1), (9, 3)]


def test_offsets_count_characters() -> None:
    finder = WordFinder("👍 日本語 don't")
    assert [finder.find(word) for word in ("日本語", "don't")] == [(2, 3), (6, 5)]


def test_a_word_that_is_written_otherwise_has_no_length_and_loses_nothing() -> None:
    finder = WordFinder("costs $5 now")
    assert finder.find("costs") == (0, 5)
    assert finder.find("five dollars") == (6, 0)
    assert finder.find("now") == (9, 3)


def test_a_word_far_away_is_not_taken_for_the_next() -> None:
    finder = WordFinder("a" * 500 + " later")
    assert finder.find("later") == (0, 0)


def test_nothing_is_found_in_nothing() -> None:
    assert WordFinder().find("word") == (0, 0)
    assert WordFinder("text").find("") == (0, 0)
    assert of_document("<speak/>").find("word") == (0, 0)


def test_in_a_document_offsets_are_the_documents() -> None:
    document = "<speak>Tom &lt; <emphasis>Jerry</emphasis>, R&amp;D</speak>"
    finder = of_document(document)
    found = {word: finder.find(word) for word in ("Tom", "<", "Jerry", "R&D")}
    assert {word: document[begin : begin + length] for word, (begin, length) in found.items()} == {
        "Tom": "Tom",
        "<": "&lt;",
        "Jerry": "Jerry",
        "R&D": "R&amp;D",
    }


def test_behind_a_documents_end_there_is_its_end() -> None:
    document = "<speak>one</speak>"
    finder = of_document(document)
    finder.find("one")
    assert finder.find("two") == (10, 0)


def test_text_that_comes_in_pieces_is_one_text() -> None:
    finder = WordFinder()
    finder.add("Hello wo")
    assert finder.find("Hello") == (0, 5)
    finder.add("rld again")
    assert finder.find("world") == (6, 5)
