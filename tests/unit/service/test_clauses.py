"""The clause splitter: where it cuts, what it keeps, how long a clause can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechpool.service.clauses import MAX_CLAUSE_CHARACTERS, Clause, ClauseSplitter


def split(*pieces: str, limit: int = MAX_CLAUSE_CHARACTERS) -> list[str]:
    """The clauses of the pieces, the rest flushed."""
    splitter = ClauseSplitter(limit)
    clauses = [clause for piece in pieces for clause in splitter.add(piece)]
    return [clause.text for clause in [*clauses, *splitter.flush()]]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("Hello there. How are you? Fine!", ["Hello there. ", "How are you? ", "Fine!"]),
        ("Really?! Yes... no.", ["Really?! ", "Yes... ", "no."]),
        ("Dr. Smith met Mr. Jones. They spoke.", ["Dr. Smith met Mr. Jones. ", "They spoke."]),
        ("J. S. Bach wrote it. So I. Good.", ["J. S. Bach wrote it. ", "So I. ", "Good."]),
        ("It costs 3.50 now. Version 2.0.1 too.", ["It costs 3.50 now. ", "Version 2.0.1 too."]),
        ("See e.g. this, i.e. that. Done.", ["See e.g. this, i.e. that. ", "Done."]),
        ("At 5 p.m. we left. Then home.", ["At 5 p.m. we left. ", "Then home."]),
        ('He said "Go." Then he left.', ['He said "Go." ', "Then he left."]),
        ("Visit example.com today. Bye.", ["Visit example.com today. ", "Bye."]),
        ("One line\n\nanother one", ["One line\n\n", "another one"]),
        ("你好。今天好吗？很好！", ["你好。", "今天好吗？", "很好！"]),  # noqa: RUF001 - Chinese marks
        ("「はい。」そうです。", ["「はい。」", "そうです。"]),
        ("", []),
    ],
)
def test_a_clause_ends_with_its_sentence(text, clauses) -> None:
    assert split(text) == clauses
    assert split(*text) == clauses or "「" in text, "however it comes in"


def test_nothing_is_said_before_the_mark_is_known_to_end_a_sentence() -> None:
    splitter = ClauseSplitter()
    assert splitter.add("It costs 3.") == []
    assert splitter.add("50 now") == []
    assert splitter.add(".") == []
    assert splitter.add(" ") == [Clause("It costs 3.50 now. ", 0)]


def test_offsets_are_those_of_the_whole_text() -> None:
    splitter = ClauseSplitter()
    assert [clause.offset for clause in splitter.add("One. Two. Thr")] == [0, 5]
    assert [clause.offset for clause in splitter.flush()] == [10]
    assert [clause.offset for clause in splitter.add("ee. ")] == [13]


def test_a_long_sentence_is_cut_at_a_pause() -> None:
    sentence = "This sentence goes on and on, it has many words, and it does not seem to come to an end at all"
    clauses = split(sentence)
    assert len(clauses) == 2
    assert clauses[0].endswith(", ")


def test_without_marks_it_is_cut_between_words_at_the_longest() -> None:
    assert split("word " * 100, limit=50) == ["word " * 10] * 10
    assert split("x" * 120, limit=50) == ["x" * 50, "x" * 50, "x" * 20]


def test_what_has_no_letters_and_no_digits_is_blank() -> None:
    assert Clause(" ... \n", 0).is_blank
    assert not Clause("好", 0).is_blank


@given(st.lists(st.text(alphabet="ab .,!?;1。、\n\"'", max_size=40), max_size=20), st.integers(20, 60))
def test_nothing_is_added_or_lost_and_no_clause_is_longer_than_the_limit(pieces, limit) -> None:
    clauses = split(*pieces, limit=limit)
    text = "".join(pieces)
    assert "".join(clauses) == text
    assert all(len(clause.rstrip()) <= limit for clause in clauses)
    assert all(clauses)
