"""What a document points at is there: pages, places in them, files of the repository, metrics, labels."""

import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), ROOT / "charts" / "speechpool" / "README.md"]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]

EVERYWHERE = ("sidecar", "operator", "charts")
"""Where the names of metrics, labels and annotations come from."""


@functools.cache
def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


@functools.cache
def anchors(page: Path) -> set[str]:
    """The places of a page that a link can name, as GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@functools.cache
def sources() -> str:
    """Every file that may give something a name."""
    kinds = (".py", ".yaml", ".tpl", ".json")
    files = (file for place in EVERYWHERE for file in (ROOT / place).rglob("*") if file.suffix in kinds)
    return "\n".join(file.read_text("utf-8") for file in files)


def is_metric(name: str) -> bool:
    """Whether sources have the name, in one piece or in two that are put together there."""
    words = re.sub(r"_(?:total|count|sum|bucket)$", "", name).split("_")
    pieces = (("_".join(words[:at]), "_".join(words[at:])) for at in range(1, len(words) + 1))
    return any(f'"{head}' in sources() and _ends_a_name(tail) for head, tail in pieces)


def _ends_a_name(tail: str) -> bool:
    return not tail or bool(re.search(rf'["}}_]{tail}(_total|_seconds)?"', sources()))


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    for link in (one for one in links if not one.startswith(("https://", "http://", "mailto:"))):
        path, _, place = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not place or place in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_file_that_is_named_is_there(page: Path) -> None:
    """Named from the root, as documents do it in sentences."""
    places = r"docs|examples|tests|charts|crds|benchmarks"
    for name in re.findall(rf"(?<![\w/.-])(?:{places})/[\w./-]*\w", prose(page)):
        assert (ROOT / name).exists() or (page.parent / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_metric_or_a_label_that_is_named_is_one(page: Path) -> None:
    text = prose(page)
    for name in set(re.findall(r"`(speechpool_[a-z_]+)[`{]", text)):
        assert is_metric(name), name
    for name in set(re.findall(r"speechpool\.dev/([a-z][a-z-]+)", text)):
        assert f"/{name}" in sources(), name


def test_there_is_something_to_look_at() -> None:
    """Else a change of style would leave nothing to test."""
    assert len(PAGES) > 15
    assert is_metric("speechpool_operator_apply_seconds")
    assert not is_metric("speechpool_operator_imagined")
    assert "what-is-wrong" in anchors(ROOT / "docs" / "operator.md")
    assert sum(len(re.findall(r"\]\(", prose(page))) for page in PAGES) > 20
