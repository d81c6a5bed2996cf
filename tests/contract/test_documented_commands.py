"""Every command and every block of code in the documents is run, or is of a kind that another test runs.

A document that gains a kind of command this file does not know fails here, with a message that says what to add.
"""

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.sidecar import PATIENCE_SECONDS, Sidecar, environment

ROOT = Path(__file__).parents[2]
ELSEWHERE = ("azure-emulator.md", "injection.md", "install.md", "operations.md", "operator.md", "security.md")
"""The emulator's commands are run by test_documented_emulator.py, a cluster's by tests/e2e/test_docs_cluster.py and
tests/e2e/test_operator_docs.py, tests/e2e/test_injection_docs.py."""

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md")),
    *(path for path in sorted(ROOT.glob("docs/*.md")) if path.name not in ELSEWHERE),
]
"""All but those whose commands need something else than a sidecar."""

COMMANDS = ("curl", "make", "pip", "speechpool", ".venv/bin/speechpool")
"""What a documented command begins with. Another one needs a test here (`Test...` below) that runs it."""

OTHERS = ("apt", "bash", "docker", "git", "helm", "kind", "kubectl", "npm", "pytest", "python", "python3", "uv")
"""Commands that no document has; in a sentence they are known by their names."""

ADD_IT = "add its kind to tests/contract/test_documented_commands.py, with a test that runs it"

FRAGMENT = """
from speechpool.pools import OnDemandResourcePool
class Client:
    async def close(self): closed.append(self)
async def factory(): return Client()
async def speak(client): spoken.append(client)
async def main():
    async with OnDemandResourcePool(factory=factory, name="fragment") as pool:
{body}
        assert spoken == closed and len(closed) == 1
import asyncio
closed, spoken, broken = [], [], True
asyncio.run(main())
"""
"""A program around a block that uses a `pool` it does not make."""


@dataclass(frozen=True)
class Block:
    """A block of code.

    Args:
        place: Its document and line.
        language: What stands behind its fence; "indented" for a block without a fence.
        text: What is in it.
    """

    place: str
    language: str
    text: str


def blocks_of(document: Path) -> Iterator[Block]:
    """Every fenced and every indented block."""
    fence, lines, begun, last = "", list[str](), 0, ""
    for number, line in enumerate([*document.read_text().splitlines(), ""], start=1):
        place = f"{document.relative_to(ROOT)}:{begun or number}"
        if line.startswith("```"):
            if fence:
                yield Block(place, fence, "\n".join(lines))
            fence, lines, begun = "" if fence else line[3:] or "plain", [], number
        elif fence:
            lines.append(line)
        elif line.startswith("    ") and (lines or not last.strip()):
            begun = begun if lines else number
            lines.append(line[4:])
        elif lines:
            yield Block(place, "indented", "\n".join(lines))
            lines = []
        last = line


def spans_of(document: Path) -> Iterator[tuple[str, str]]:
    """Every inline command: its place and its text."""
    prose = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    for span in re.findall(r"`([^`]+)`", prose):
        if re.match(rf"({'|'.join(re.escape(command) for command in (*COMMANDS, *OTHERS))}) \S", span):
            yield str(document.relative_to(ROOT)), " ".join(span.split())


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]
SPANS = sorted({span for document in DOCUMENTS for span in spans_of(document)})


def of(*languages: str) -> list[pytest.param]:  # type: ignore[valid-type] # pytest does not publish the type
    return [pytest.param(block, id=block.place) for block in BLOCKS if block.language in languages]


def is_command(line: str) -> bool:
    return line.partition(" ")[0] in COMMANDS


def command_lines() -> list[tuple[str, str]]:
    """Every command of the documents, in blocks and in sentences."""
    found = [
        (block.place, line)
        for block in BLOCKS
        if block.language in ("sh", "indented")
        for line in block.text.replace("\\\n", " ").splitlines()
        if block.language == "sh" or is_command(line)
    ]
    return [*found, *SPANS]


def run(words: list[str], directory: Path, **variables: str) -> str:
    done = subprocess.run(
        words,
        cwd=directory,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class TestKinds:
    def test_every_block_has_a_test(self) -> None:
        known = {"sh", "sh cluster", "python", "plain", "indented"}  # a cluster's: tests/e2e/test_chart_docs.py
        unknown = [block.place for block in BLOCKS if block.language not in known]

        assert not unknown, f"blocks of a new kind in {unknown}: {ADD_IT}"

    def test_every_command_has_a_test(self) -> None:
        unknown = [f"{place}: {line}" for place, line in command_lines() if not is_command(line)]

        assert not unknown, f"commands of a new kind, {unknown}: {ADD_IT}"

    @pytest.mark.parametrize("block", of("plain"))
    def test_a_block_without_a_language_is_a_picture_or_a_log(self, block: Block) -> None:
        assert not [line for line in block.text.splitlines() if is_command(line)], f"{block.place}: mark it as sh"

    def test_the_documents_have_what_is_looked_for(self) -> None:
        """Else a change of style would leave nothing to test."""
        assert {block.language for block in BLOCKS} >= {"sh", "python", "plain", "indented"}
        assert {line.partition(" ")[0] for _, line in command_lines()} >= {"curl", "make", "pip", "speechpool"}


class TestMake:
    @pytest.mark.parametrize(("place", "line"), [found for found in command_lines() if found[1].startswith("make ")])
    def test_the_target_exists(self, place: str, line: str) -> None:
        """What the targets run is proved elsewhere: test_cli_examples.py has the demo, the others are the checks."""
        makefile = (ROOT / "Makefile").read_text()
        words = shlex.split(line, comments=True)[1:]
        targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
        variables = set(re.findall(r"^([A-Z_]+)\s*\?=", makefile, re.MULTILINE))

        assert {word for word in words if "=" not in word} <= targets, place
        assert {word.partition("=")[0] for word in words if "=" in word} <= variables, place


class TestPip:
    @pytest.mark.parametrize(("place", "line"), [found for found in command_lines() if found[1].startswith("pip ")])
    def test_it_names_extras_that_exist(self, place: str, line: str) -> None:
        """Not run: the tests install nothing."""
        command, what = shlex.split(line)[1:]
        found = re.fullmatch(r"speechpool\[([a-z,]+)\]", what)

        assert command == "install"
        assert found, place
        assert all(f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text() for extra in found[1].split(","))


class TestShell:
    @pytest.mark.parametrize("block", of("sh"))
    def test_a_block_runs_from_top_to_bottom(self, block: Block, tmp_path: Path) -> None:
        """As a newcomer types it, with `make` left out (see TestMake) and the sidecar stopped at the end."""
        lines = [line for line in block.text.splitlines() if not line.startswith("make ")]
        if not lines:
            return
        installed = tmp_path / ".venv" / "bin" / "speechpool"
        installed.parent.mkdir(parents=True)
        installed.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m speechpool "$@"\n')
        installed.chmod(0o755)
        script = ["set -e", "trap 'kill $(jobs -p) && wait' EXIT", *lines]

        output = run(["bash", "-c", "\n".join(script)], tmp_path, SPEECHPOOL_SOCKET=str(tmp_path / "sp.sock"))

        assert (tmp_path / "hello.wav").stat().st_size > 10_000
        assert "tts" in output

    @pytest.mark.parametrize(("place", "line"), [found for found in command_lines() if found[1].startswith("curl ")])
    def test_curl_brings_audio(self, place: str, line: str, shared_sidecar: Sidecar, tmp_path: Path) -> None:
        run(["bash", "-c", f"{line} --fail"], tmp_path, SPEECHPOOL_SOCKET=str(shared_sidecar.socket))

        (audio,) = tmp_path.iterdir()
        assert audio.read_bytes().startswith(b"RIFF" if audio.suffix == ".wav" else (b"ID3", b"\xff")), place

    @pytest.mark.parametrize(("place", "line"), [found for found in SPANS if found[1].startswith("speechpool ")])
    def test_a_command_in_a_sentence_runs(self, place: str, line: str, shared_sidecar: Sidecar, tmp_path: Path) -> None:
        settings = tmp_path / "settings.yaml"
        settings.write_text("warmSize: 2\n")
        words = [str(settings) if word == "FILE" else word for word in shlex.split(line)[1:]]
        if words in (
            ["serve"],
            ["status", "--watch"],
        ):  # endless: the block of README.md and test_cli_commands run them
            words.append("--help")

        assert run([sys.executable, "-m", "speechpool", *words], tmp_path, SPEECHPOOL_SOCKET=str(shared_sidecar.socket))


class TestPython:
    @pytest.mark.parametrize("block", of("python"))
    def test_it_runs(self, block: Block, shared_sidecar: Sidecar, tmp_path: Path) -> None:
        program = block.text
        if program.startswith("async with pool"):
            program = FRAGMENT.format(body="\n".join(f"        {line}" for line in program.splitlines()))
        output = run(
            [sys.executable, "-W", "error", "-c", program], tmp_path, SPEECHPOOL_SOCKET=str(shared_sidecar.socket)
        )

        promised = re.findall(r"print\(tier\)  # (AllocationTier\.[A-Z]+)", program)
        assert output.split() == promised
        written = [node.value for node in ast.walk(ast.parse(program)) if _is_file_name(node)]
        assert [path.name for path in tmp_path.iterdir()] == written
        assert all(path.stat().st_size > 5_000 for path in tmp_path.iterdir())


class TestIndented:
    @pytest.mark.parametrize("block", of("indented"))
    def test_it_is_a_command_a_message_or_a_settings_file(self, block: Block, tmp_path: Path) -> None:
        if is_command(block.text):
            return  # TestShell runs it
        if block.text.startswith(("{", "> {")):
            for message in _messages(block.text):
                assert isinstance(message["type"], str)
            return
        assert block.place.startswith(("docs/settings.md", "docs/azure.md")), (
            f"{block.place}: a new kind of block: {ADD_IT}"
        )
        (tmp_path / "settings.yaml").write_text(block.text)
        run([sys.executable, "-m", "speechpool", "config", "--check", "settings.yaml"], tmp_path)


def _messages(text: str) -> Iterator[dict[str, object]]:
    """The JSON objects of a block; a transcript's lines begin with > or <, and it may leave fields out ("...")."""
    decoder = json.JSONDecoder()
    text = re.sub(r"^[<>] (\(binary\) \.\.\.)?", "", text, flags=re.MULTILINE).replace("...,", "")
    while text := text.strip():
        message, end = decoder.raw_decode(text)
        text = text[end:]
        yield message


def _is_file_name(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(re.fullmatch(r"\w+\.\w{3}", node.value))
    )
