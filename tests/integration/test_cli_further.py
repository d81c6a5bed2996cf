"""Commands that another package brings to `speechpool` by its entry points."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.commands import speechpool

WITHOUT = """
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from speechpool.cli.commands import run
code = run({words!r})
"""
"""The command in an interpreter that does not have some packages."""


def without(missing: tuple[str, ...], *words: str, then: str = "sys.exit(code)") -> subprocess.CompletedProcess[str]:
    program = WITHOUT.format(missing=missing, words=list(words)) + then
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)


class TestHelp:
    def test_the_commands_of_other_packages_are_listed(self) -> None:
        listed = speechpool("--help").stdout.decode()

        assert "tell whether SpeechPool is right in this cluster" in " ".join(listed.split())
        assert "status.cluster" not in listed

    def test_each_explains_itself(self) -> None:
        done = speechpool("check", "--help")

        assert done.returncode == 0
        assert b"--kubeconfig" in done.stdout


class TestTheExtraIsMissing:
    @pytest.mark.parametrize("words", [("check",), ("check", "--json"), ("status", "--cluster")], ids=" ".join)
    def test_the_command_says_what_to_install(self, words: tuple[str, ...]) -> None:
        done = without(("aiohttp", "yaml", "kopf", "prometheus_client"), *words)

        assert done.returncode == 2
        assert done.stdout == ""
        assert "which is not installed: pip install 'speechpool[operator]'\n" in done.stderr
        assert done.stderr.count("\n") == 1

    def test_the_list_of_commands_needs_no_extra(self) -> None:
        assert without(("aiohttp", "yaml", "kopf", "prometheus_client"), "--help").returncode == 0

    def test_commands_need_kopf_for_nothing(self, tmp_path: Path) -> None:
        done = without(("kopf",), "check", "--kubeconfig", str(tmp_path / "none"))

        assert "kopf" not in done.stderr


class TestWhatItCosts:
    """What nobody asked for is not loaded: a client starts in a fraction of the time, a sidecar keeps its size."""

    @pytest.mark.parametrize("words", [("serve", "--help"), ("status", "--help"), ("version", "--help")], ids=" ".join)
    def test_an_own_command_reads_no_entry_points_and_no_other_package(self, words: tuple[str, ...]) -> None:
        loaded = "print(json.dumps(sorted(sys.modules)))"

        done = without((), *words, then=f"import json; print(); {loaded}")

        modules = json.loads(done.stdout.splitlines()[-1])
        assert words[0] != "status" or "importlib.metadata" not in modules
        assert not [one for one in modules if one.startswith("speechpool_operator")]
