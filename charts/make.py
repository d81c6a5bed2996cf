"""Makes what the chart has from elsewhere: the definition of SpeechPools, the upgrader's fence, its README.

`python charts/make.py` writes them, `python charts/make.py --check` says whether they are as they would be written.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from speechpool_operator.crd import CRD_FILE
from speechpool_operator.upgrade.fence import fence

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "speechpool"

_BEGIN, _END = "<!-- values:begin -->", "<!-- values:end -->"
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z_]\w*):")


def made() -> dict[Path, str]:
    """Every file that is made, with its text."""
    return {
        CHART / "files" / Path(CRD_FILE).name: (ROOT / CRD_FILE).read_text("utf-8"),
        CHART / "files" / "upgrader-fence.yaml": _fence_text(),
        CHART / "README.md": _readme((CHART / "README.md").read_text("utf-8")),
    }


def _fence_text() -> str:
    head = "# Made by charts/make.py from speechpool_operator.upgrade.fence: change that instead.\n"
    objects = fence(image="@IMAGE@", user="@USER@", name="@NAME@")
    return head + yaml.safe_dump(list(objects), sort_keys=False, width=1000)


def _readme(text: str) -> str:
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    return f"{before}{_BEGIN}\n{_table()}\n{_END}{after}"


def _table() -> str:
    text = (CHART / "values.yaml").read_text("utf-8")
    values = yaml.safe_load(text)
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    for path, meaning in documented(text):
        shown = json.dumps(value_at(values, path), ensure_ascii=False).replace("|", "\\|")
        lines.append(f"| `{path}` | `{shown}` | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def documented(text: str) -> Iterator[tuple[str, str]]:
    """Path and meaning of each value that has a comment which begins with two dashes."""
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("#") and comment:
            comment.append(stripped.removeprefix("# "))
        elif found := _KEY.match(line):
            indent = len(found["indent"])
            parents = [*(one for one in parents if one[0] < indent), (indent, found["key"])]
            if comment:
                yield ".".join(key for _, key in parents), " ".join(comment)
            comment = []


def value_at(values: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 -- a value may be of any type
    """The value at a path of names, joined by dots."""
    found: Any = values
    for key in path.split("."):
        found = found[key]
    return found


def main() -> int:
    """Write or compare; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file would change")
    check = parser.parse_args().check
    changed = [path for path, text in made().items() if not path.exists() or path.read_text("utf-8") != text]
    for path in changed:
        if check:
            print(f"{path.relative_to(ROOT)} is old: run python charts/make.py", file=sys.stderr)
        else:
            path.write_text(made()[path], "utf-8")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
