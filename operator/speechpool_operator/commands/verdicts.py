"""One line of `speechpool check`: what was looked at, whether it is right, and what to do where it is not."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Line", "Verdict", "failed", "passed", "report", "skipped", "tell", "warned"]


class Verdict(StrEnum):
    """What was found."""

    PASSED = "passed"
    WARNED = "warned"
    """It works, and somebody should look at it."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It could not be found out, or makes no sense here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One check.

    Args:
        section: Which part of the cluster it is about.
        text: What should be so, with what is.
        verdict: Whether it is so.
        advice: What to do; empty where it is right.
    """

    section: str
    text: str
    verdict: Verdict = Verdict.PASSED
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints of it."""
        return {"section": self.section, "verdict": self.verdict, "text": self.text, "advice": self.advice or None}


def passed(section: str, text: str) -> Line:
    """A check that found what should be."""
    return Line(section=section, text=text)


def warned(section: str, text: str, advice: str) -> Line:
    """A check that found what somebody should look at."""
    return Line(section=section, text=text, verdict=Verdict.WARNED, advice=advice)


def failed(section: str, text: str, advice: str) -> Line:
    """A check that found what is wrong."""
    return Line(section=section, text=text, verdict=Verdict.FAILED, advice=advice)


def skipped(section: str, text: str, advice: str) -> Line:
    """A check that could not look; `advice` says why, and what would let it."""
    return Line(section=section, text=text, verdict=Verdict.SKIPPED, advice=advice)


_SIGNS = {Verdict.PASSED: "✓", Verdict.WARNED: "!", Verdict.FAILED: "✗", Verdict.SKIPPED: "-"}
_PLAIN_SIGNS = {Verdict.PASSED: "ok", Verdict.WARNED: "!!", Verdict.FAILED: "XX", Verdict.SKIPPED: "--"}


def report(lines: Sequence[Line], *, plain: bool) -> str:
    """All lines, section by section, and how it ends.

    Args:
        lines: In the order to be shown.
        plain: Whether signs are of ASCII alone.
    """
    signs, shown, section = _PLAIN_SIGNS if plain else _SIGNS, list[str](), ""
    for line in lines:
        if line.section != section:
            shown += ["", line.section] if shown else [line.section]
            section = line.section
        shown.append(f"  {signs[line.verdict]} {line.text}")
        shown += [f"      {each}" for each in line.advice.splitlines()]
    return "\n".join([*shown, "", _summary(lines)])


def tell(lines: Sequence[Line], *, as_json: bool) -> int:
    """Print all lines; returns the exit code, 1 where something failed.

    Args:
        lines: In the order to be shown.
        as_json: Whether a program reads it.
    """
    is_right = not any(line.verdict is Verdict.FAILED for line in lines)
    if as_json:
        print(json.dumps({"right": is_right, "checks": [line.as_json() for line in lines]}, indent=2))
    else:
        print(report(lines, plain=(sys.stdout.encoding or "").lower().replace("-", "") != "utf8"))
    return 0 if is_right else 1


def _summary(lines: Sequence[Line]) -> str:
    counts = {each: sum(line.verdict is each for line in lines) for each in Verdict}
    if counts[Verdict.FAILED]:
        return f"not right: {counts[Verdict.FAILED]} failed, {counts[Verdict.WARNED]} to look at"
    if counts[Verdict.WARNED]:
        return f"right, but {counts[Verdict.WARNED]} to look at"
    return "all is right"
