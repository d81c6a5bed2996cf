"""What is told, how often, and what is waited for while Microsoft Entra ID gives no token."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.virtual import VIRTUAL

from speechpool.speech.azure.entra import EntraToken, default_token_maker
from speechpool.speech.azure.entra_reasons import no_token

pytestmark = VIRTUAL

RESOURCE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a"
FILES = ("AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE")


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No identity in the environment, and none to be found elsewhere."""
    for name in (*FILES, "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a pod with workload identity expects its token; not there yet."""
    path = tmp_path / "token"
    monkeypatch.setenv("AZURE_CLIENT_ID", "22222222-2222-2222-2222-222222222222")
    monkeypatch.setenv("AZURE_TENANT_ID", "11111111-1111-1111-1111-111111111111")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(path))
    return path


class InPlace:
    async def run(self, function: Callable[..., Any], /, *args: object) -> Any:
        await asyncio.sleep(0)
        return function(*args)

    def dispose(self, work: Callable[[], None], *, name: str) -> None:
        work()


class Failing:
    """A credential of azure-identity's that gives no token."""

    def __init__(self) -> None:
        self.error: Exception = RuntimeError("down")

    def get_token(self, *_: str) -> Any:
        raise self.error

    def close(self) -> None:
        pass


def source_of(make: Callable[[], Any]) -> EntraToken:
    clock = asyncio.get_running_loop().time
    return EntraToken("AZURE_SPEECH_RESOURCE_ID", RESOURCE, InPlace(), make=make, clock=clock, wall_clock=clock)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.reason for record in caplog.records if record.levelno >= logging.WARNING]  # type: ignore[attr-defined] # ours


# --- why -----------------------------------------------------------------------------------------------------------


async def test_a_token_file_that_is_missing_is_named_and_waited_for(token_file: Path) -> None:
    source = source_of(default_token_maker)
    await source.open()
    assert source.problem == (
        "AZURE_SPEECH_RESOURCE_ID: Microsoft Entra ID gave no token: AZURE_FEDERATED_TOKEN_FILE: "
        f"{token_file}: there is no such file; mount it, or correct the path"
    )
    await asyncio.sleep(600.0)
    failures = source.refresh_failures

    token_file.touch()  # noqa: ASYNC240 - a temporary file
    await asyncio.sleep(1.5)

    assert source.refresh_failures > failures
    assert "there is no such file" not in (source.problem or "")
    await source.close()


async def test_a_certificate_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, token_file: Path) -> None:
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", "/none/certificate.pem")
    source = source_of(default_token_maker)
    await source.open()
    assert "AZURE_CLIENT_CERTIFICATE_PATH: /none/certificate.pem: there is no such file" in (source.problem or "")
    await source.close()


CHAIN = "DefaultAzureCredential failed to retrieve a token from the included credentials.\nAttempted credentials:\n"
END = "\nTo mitigate this issue, please refer to the troubleshooting guidelines here at https://aka.ms/x."


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ImportError("azure.identity"), "azure-identity is not installed; pip install 'speechpool[azure]'"),
        (RuntimeError(), "RuntimeError"),
        (RuntimeError("one\ntwo"), "RuntimeError: one"),
        (
            RuntimeError(f"{CHAIN}\tEnvironmentCredential: unavailable.\nVisit x\n\tOtherCredential: AADSTS7: no{END}"),
            "OtherCredential: AADSTS7: no",
        ),
        (
            RuntimeError(f"{CHAIN}\tEnvironmentCredential: unavailable.\n\tBrokerCredential: none{END}"),
            "nothing here has an identity: give the pod a workload or a managed identity, or log in with `az login`",
        ),
    ],
)
def test_the_reason_is_a_line_of_what_failed(error: Exception, reason: str) -> None:
    assert str(no_token(error, {})) == reason


def test_a_secret_in_the_environment_comes_before_any_file(token_file: Path) -> None:
    environ = {"AZURE_FEDERATED_TOKEN_FILE": str(token_file), "AZURE_CLIENT_SECRET": "s"}
    assert str(no_token(RuntimeError("refused"), environ)) == "RuntimeError: refused"


# --- how often -----------------------------------------------------------------------------------------------------


async def test_one_failure_is_one_warning_with_its_reason(token_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = source_of(default_token_maker)
    await source.renew()
    assert told(caplog) == [source.problem]
    assert "azure-identity" not in caplog.text
    await source.close()


async def test_the_same_reason_is_told_once_and_counted_each_time(caplog: pytest.LogCaptureFixture) -> None:
    failing = Failing()
    source = source_of(lambda: failing)
    for number in range(100):
        failing.error = RuntimeError(f"{'nobody here knows this identity':<80}; trace {number}")
        await source.renew()
    assert len(told(caplog)) == 1
    assert source.refresh_failures == 100

    failing.error = RuntimeError("another one")
    await source.renew()
    assert "another one" in told(caplog)[-1]
