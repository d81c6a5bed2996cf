"""The documents' tables are those of the settings model."""

from pathlib import Path

import pytest

from speechpool.config.table import BEGIN, END, RELIED_ON, azure_table, full_table, main, short_table, with_table
from speechpool.pools import WarmableResourcePool
from speechpool.settings import ALL_KNOBS, POOL_KNOBS, PoolKind, default_pool

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("document", "table", "command"),
    [
        ("README.md", short_table, "python -m speechpool.config.table --write README.md"),
        ("docs/settings.md", full_table, "python -m speechpool.config.table --full --write docs/settings.md"),
        ("docs/azure.md", azure_table, "python -m speechpool.config.table --azure --write docs/azure.md"),
    ],
)
def test_a_documents_table_is_that_of_the_model(document, table, command):
    text = (ROOT / document).read_text("utf-8")
    assert text == with_table(text, table()), f"renew it: {command}"


def test_the_short_table_has_the_names_that_users_rely_on():
    known = {one.env for one in ALL_KNOBS}
    assert set(RELIED_ON) <= known
    assert all(f"`{name}`" in short_table() for name in RELIED_ON)


def test_the_full_table_has_every_name():
    table = full_table()
    for one in ALL_KNOBS:
        for name in (one.env, one.flag, one.key if one.in_file else None):
            assert name is None or f"`{name}`" in table


def test_every_setting_says_what_it_is_for():
    for one in ALL_KNOBS:
        assert one.doc.endswith(".")
        assert "\n" not in one.doc


def test_every_default_is_allowed():
    for one in ALL_KNOBS:
        for default in (one.default, one.stt_default):
            value = one.kind.to_value(default)
            assert value is None or one.kind.of_value(value) == default


async def test_the_pool_takes_every_live_setting_of_a_pool():
    """Each keyword exists in the pool's constructor and in `reconfigure()`."""
    for kind in PoolKind:
        words = default_pool(kind, "a").keywords()
        pool = WarmableResourcePool(factory=object, name="a", **words)
        assert set(pool.reconfigure(**words)) == set(words)


def test_what_the_pool_does_not_take_is_the_services():
    taken = set(default_pool(PoolKind.TEXT_TO_SPEECH, "a").keywords())
    assert {one.name for one in POOL_KNOBS} - taken == {
        "output_format",
        "text_streaming",
        "input_format",
        "languages",
        "language_mode",
        "max_characters_per_minute",
        "max_audio_seconds_per_minute",
    }


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"])
def test_a_document_without_the_markers_is_refused(text):
    with pytest.raises(ValueError, match="each once"):
        with_table(text, "table")


def test_the_command_renews_a_document(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert main(["--write", str(path)]) == 0
    assert path.read_text() == f"before\n{BEGIN}\n{short_table()}\n{END}\nafter\n"


def test_the_command_prints_a_table(capsys):
    main(["--full"])
    assert capsys.readouterr().out == full_table() + "\n"
