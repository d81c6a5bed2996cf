"""docs/azure-emulator.md: its commands and its program run, and its tables name all there is."""

import json
import re
import shlex
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from speechpool_azure_emulator import EmulatorOptions, Fault
from speechpool_azure_emulator.control import PATHS
from speechpool_azure_emulator.faults import ACTIONS, POINTS, parse_faults

DOCUMENT = (Path(__file__).parents[2] / "docs" / "azure-emulator.md").read_text()
LIMIT_SECONDS = 100.0


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def run(words: list[str], directory: Path) -> str:
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("block", blocks("sh"))
def test_its_commands_run_from_top_to_bottom(block: str, tmp_path: Path) -> None:
    emulator = f"{shlex.quote(sys.executable)} -m speechpool_azure_emulator"
    lines = block.replace("speechpool-azure-emulator", emulator).replace("7070", free_port())
    script = f"set -e\ntrap 'kill $(jobs -p) && wait' EXIT\n{lines}"
    output = run(["bash", "-c", script.replace("curl ", "curl --fail-with-body ")], tmp_path)

    assert "listening at ws://127.0.0.1:" in output
    assert '"struck": 0' in output
    assert '"upgrades_ok": 0' in output


@pytest.mark.parametrize("block", blocks("python"))
def test_its_program_runs(block: str, tmp_path: Path) -> None:
    assert run([sys.executable, "-W", "error", "-c", block], tmp_path) == ""


def test_every_block_is_run() -> None:
    assert len(blocks("sh")) + len(blocks("python")) == DOCUMENT.count("```") // 2 > 1


@pytest.mark.parametrize(
    "name", [*POINTS, *ACTIONS, *PATHS, *(f.name for f in fields(EmulatorOptions)), *(f.name for f in fields(Fault))]
)
def test_it_names_all_there_is(name: str) -> None:
    assert f"`{name}`" in DOCUMENT or f'"{name}"' in DOCUMENT


def test_its_faults_are_good() -> None:
    shown = re.findall(r"`(\{\"at\".*?\})`", DOCUMENT)

    assert len(parse_faults([json.loads(text) for text in shown])) > 5


def test_its_install_lines_name_extras_that_exist() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    extras = {
        extra for found in re.findall(r"pip install speechpool\[([a-z,-]+)\]", DOCUMENT) for extra in found.split(",")
    }

    assert {"azure-emulator", "local"} <= extras
    assert all(f"\n{extra} = [" in project for extra in extras)
