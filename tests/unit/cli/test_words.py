"""Words on the command line that are none of the command's: what is said to who mistyped them."""

import pytest

from speechpool.cli import commands


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("sya", "hello"), "speechpool: there is no command 'sya'; did you mean say? (see `speechpool --help`)"),
        (("sing",), "speechpool: there is no command 'sing' (see `speechpool --help`)"),
        (("--verbose",), "speechpool: there is no option --verbose; did you mean --version? (see `speechpool --help`)"),
        (
            ("config", "--chek", "file"),
            "speechpool config: there is no option --chek; did you mean --check? (see `speechpool config --help`)",
        ),
        (
            ("serve", "--sockt=x"),
            "speechpool serve: there is no option --sockt; did you mean --socket? (see `speechpool serve --help`)",
        ),
        (
            ("say", "Good", "morning."),
            (
                "speechpool say: 'morning.' is a word too many: leave it out, or put quotes around words that belong "
                "together (see `speechpool say --help`)"
            ),
        ),
    ],
    ids=" ".join,
)
def test_what_is_mistyped_is_told_in_a_line_with_the_nearest_word(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.run(words) == 2
    assert capsys.readouterr().err == f"{told}\n"


@pytest.mark.parametrize("words", [("help", "say"), ("say", "--help")], ids=" ".join)
def test_help_is_a_word_too(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(words) == 0
    assert capsys.readouterr().out.startswith("usage: speechpool say")


def test_without_a_command_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(()) == 2
    assert "begin with:" in capsys.readouterr().err
