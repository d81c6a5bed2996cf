"""Results of the benchmarks: each saves its rows as JSON, and this command renders them all.

`python benchmarks/report.py` writes docs/benchmarks.md from build/bench/*.json; nothing in that page is typed in.
"""

import datetime as dt
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["Target", "at_least", "at_most", "render", "save", "text", "versions"]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "bench"
PAGE = ROOT / "docs" / "benchmarks.md"

HEAD = """# Benchmarks

Made by `make bench`; do not edit. Compare columns, not pages: a ratio was measured inside one run, in interleaved
rounds, and its median is shown; a time is what one machine took, and virtual seconds are the same on every machine.
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A number to reach, for the table at the head of the page."""

    what: str
    wanted: str
    measured: str
    reached: bool


def at_least(what: str, measured: float, bound: float, unit: str = "") -> Target:
    """A target that is reached from `bound` upwards."""
    return Target(what, f"≥ {_cell(float(bound))}{unit}", f"{_cell(float(measured))}{unit}", measured >= bound)


def at_most(what: str, measured: float, bound: float, unit: str = "") -> Target:
    """A target that is reached up to `bound`."""
    return Target(what, f"≤ {_cell(float(bound))}{unit}", f"{_cell(float(measured))}{unit}", measured <= bound)


def save(
    section: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    title: str,
    note: str = "",
    targets: Sequence[Target] = (),
    quick: bool = False,
) -> Path:
    """Save one table of results.

    Args:
        section: The file's name and place on the page (sections are in the order of their names), for example
            `10-pools-throughput`; a second save of the same section replaces the first.
        rows: The table; the keys of the first row are the columns. A bool is shown as yes or no, a float with three
            significant digits.
        title: The section's heading.
        note: A paragraph in Markdown: what was measured, how, in which unit.
        targets: The numbers to reach that this section measured.
        quick: Whether this was a shortened run; the page says so.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{section}.json"
    result = {
        "title": title,
        "note": note,
        "quick": quick,
        "machine": machine(),
        "rows": list(rows),
        "targets": [asdict(target) for target in targets],
    }
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def machine() -> dict[str, str]:
    """What the benchmark ran on, in words."""
    return {
        "cpu": f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
    }


def versions(*packages: str) -> str:
    """`name version` of each installed package, for a note."""
    return ", ".join(f"{name} {metadata.version(name)}" for name in packages)


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def render() -> str:
    """The page, from the results that are saved."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    if not results:
        raise SystemExit(f"no results in {RESULTS.relative_to(ROOT)}: run `make bench` first")
    targets = [target for result in results for target in result["targets"]]
    reached = f"{sum(target['reached'] for target in targets)} of {len(targets)}"
    head = [HEAD, f"## Numbers to reach\n\nReached: {reached}.\n\n{_table(targets)}\n"] if targets else [HEAD]
    return "\n".join([*head, *(_section(result) for result in results)])


def text(section: str) -> str:
    """One saved section with its targets, as the page shows it: what a benchmark prints at its end."""
    result = json.loads((RESULTS / f"{section}.json").read_text(encoding="utf-8"))
    return "\n".join(part for part in (_section(result), _table(result["targets"])) if part)


def _section(result: Mapping[str, Any]) -> str:
    where = "; ".join(result["machine"].values()) + ("; quick run" if result["quick"] else "")
    parts = [f"## {result['title']}", result["note"], _table(result["rows"]), f"<sub>{where}</sub>"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    columns = list(rows[0])
    lines = [columns, ["-" * max(3, len(name)) for name in columns]]
    lines += [[_cell(row.get(name)) for name in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "**no**"
        case float():
            return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
        case int():
            return f"{value:,}"
        case _:
            return str(value).replace("|", "\\|")


def main() -> None:
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
