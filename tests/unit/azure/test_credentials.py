"""Keys that stay, keys in files, and tokens that are renewed in time."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.virtual import VIRTUAL, elapsed, settle

from speechpool.errors import AuthenticationFailed
from speechpool.speech.azure.credentials import Credential, CredentialSource, FixedCredential
from speechpool.speech.azure.entra import FETCH_LIMIT_SECONDS, RENEW_BEFORE_SECONDS, EntraToken
from speechpool.speech.azure.key_file import READ_LIMIT_SECONDS, KeyFile

pytestmark = VIRTUAL

RESOURCE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a"
FIRST, SECOND = "a" * 32, "b" * 32


class InPlace:
    """Calls at once what would be called in a thread, or never while it `hangs`."""

    def __init__(self) -> None:
        self.hangs = False
        self.calls = 0

    async def run(self, function: Callable[..., Any], /, *args: object) -> Any:
        self.calls += 1
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.sleep(10_000)
        return function(*args)

    def dispose(self, work: Callable[[], None], *, name: str) -> None:
        work()


@dataclass
class Token:
    token: str
    expires_on: int


@dataclass
class Entra:
    """Gives tokens as azure-identity does: the one it has, until five minutes before its end."""

    wall_clock: Callable[[], float]
    life_seconds: float = 3600.0
    error: Exception | None = None
    asked: list[str] = field(default_factory=list)
    made: int = 0
    closed: int = 0
    _token: Token | None = None

    def get_token(self, *scopes: str) -> Token:
        self.asked.extend(scopes)
        if self.error:
            raise self.error
        if self._token is None or self._token.expires_on - self.wall_clock() < RENEW_BEFORE_SECONDS:
            self.made += 1
            self._token = Token(f"token-{self.made}", int(self.wall_clock() + self.life_seconds))
        return self._token

    def close(self) -> None:
        self.closed += 1


def changes(source: CredentialSource) -> list[Credential]:
    told: list[Credential] = []
    source.on_change(told.append)
    return told


# --- fixed ---------------------------------------------------------------------------------------------------------


async def test_a_fixed_key_is_shown_as_it_is() -> None:
    source = FixedCredential("AZURE_SPEECH_KEY", FIRST)

    assert source.current == Credential(kind="key", secret=FIRST)
    assert source.problem is None
    assert FIRST not in repr(source.current)


async def test_a_container_is_shown_nothing() -> None:
    assert FixedCredential("AZURE_SPEECH_KEY", None).current == Credential(kind="none")


# --- file ----------------------------------------------------------------------------------------------------------


async def test_a_file_holds_the_key_with_or_without_a_line_end(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"  {FIRST}\r\n")
    source = KeyFile("AZURE_SPEECH_KEY_FILE", str(path), InPlace())

    await source.open()

    assert source.current == Credential(kind="key", secret=FIRST)
    await source.close()


async def test_a_new_key_in_the_file_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(FIRST)
    source = KeyFile("AZURE_SPEECH_KEY_FILE", str(path), InPlace())
    await source.open()
    told = changes(source)

    path.write_text(SECOND)
    await asyncio.sleep(5.0)

    assert told == [Credential(kind="key", secret=SECOND)]
    assert source.current.secret == SECOND
    await source.close()


async def test_a_mounted_secret_changes_by_a_swapped_link(tmp_path: Path) -> None:
    for name, key in (("..1", FIRST), ("..2", SECOND)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(key)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "key").symlink_to("..data/key")
    source = KeyFile("AZURE_SPEECH_KEY_FILE", str(tmp_path / "key"), InPlace())
    await source.open()

    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    await asyncio.sleep(1.5)

    assert source.current.secret == SECOND
    await source.close()


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "it holds nothing"), (b"short", "8 to 512"), (b"two words here", "8 to 512"), (b"\xff" * 32, "not shown")],
)
async def test_a_content_that_is_no_key_leaves_the_last_one(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "key"
    path.write_text(FIRST)
    source = KeyFile("AZURE_SPEECH_KEY_FILE", str(path), InPlace())
    await source.open()
    told = changes(source)

    path.write_bytes(content)
    await asyncio.sleep(3.0)

    assert source.current.secret == FIRST
    assert source.problem is None
    assert source.warning is not None
    assert says in source.warning
    assert source.warning.startswith(f"AZURE_SPEECH_KEY_FILE: {path}")
    assert source.refresh_failures == 1
    assert not told
    await source.close()


async def test_a_file_that_is_not_there_yet_is_used_when_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "key"
    source = KeyFile("AZURE_SPEECH_KEY_FILE", str(path), InPlace())
    await source.open()
    told = changes(source)
    with pytest.raises(AuthenticationFailed, match=r"AZURE_SPEECH_KEY_FILE.*no such file; mount the Secret"):
        _ = source.current

    path.write_text(FIRST)
    await asyncio.sleep(1.5)

    assert source.current.secret == FIRST
    assert told == [source.current]
    await source.close()


async def test_a_folder_is_no_key_file(tmp_path: Path) -> None:
    source = KeyFile("AZURE_SPEECH_KEY_FILE", str(tmp_path), InPlace())

    await source.open()

    assert "must be a regular file" in (source.problem or "")
    await source.close()


async def test_a_file_system_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(FIRST)
    threads = InPlace()
    threads.hangs = True
    source = KeyFile("AZURE_SPEECH_KEY_FILE", str(path), threads)
    begun = asyncio.get_running_loop().time()

    await source.open()

    assert elapsed(begun) == READ_LIMIT_SECONDS
    await asyncio.sleep(60.0)
    assert threads.calls == 1, "one reading at a time"
    await source.close()


# --- Entra ID ------------------------------------------------------------------------------------------------------


class Rig:
    def __init__(self, life_seconds: float = 3600.0) -> None:
        clock = asyncio.get_running_loop().time
        self.threads = InPlace()
        self.entra = Entra(lambda: 1_700_000_000 + clock(), life_seconds)
        self.made = 0
        self.source = EntraToken(
            "AZURE_SPEECH_RESOURCE_ID",
            RESOURCE,
            self.threads,
            make=self._make,
            clock=clock,
            wall_clock=self.entra.wall_clock,
            rng=random.Random(7),
        )

    def _make(self) -> Entra:
        self.made += 1
        return self.entra


async def test_a_token_is_shown_in_the_form_of_the_speech_service() -> None:
    rig = Rig()

    await rig.source.open()

    assert rig.source.current.kind == "token"
    assert rig.source.current.secret == f"aad#{RESOURCE}#token-1"
    assert rig.source.expires_in_seconds == pytest.approx(3600.0, abs=2)
    assert rig.entra.asked == ["https://cognitiveservices.azure.com/.default"]
    assert "token-1" not in repr(rig.source.current)
    await rig.source.close()
    assert rig.entra.closed == 1


async def test_a_token_is_renewed_well_before_its_end_and_told_each_time() -> None:
    rig = Rig()
    await rig.source.open()
    told = changes(rig.source)
    left: list[float] = []

    for _ in range(4 * 360):
        await asyncio.sleep(10.0)
        left.append(rig.source.expires_in_seconds or 0.0)

    assert min(left) > RENEW_BEFORE_SECONDS - 60
    assert [each.secret.rpartition("-")[2] for each in told] == ["2", "3", "4", "5"]
    assert len(rig.entra.asked) < 80, "asks for what is cached, but not all the time"
    assert rig.made == 1
    await rig.source.close()


async def test_short_lived_tokens_are_renewed_too() -> None:
    rig = Rig(life_seconds=400.0)
    await rig.source.open()

    for _ in range(60):
        await asyncio.sleep(10.0)
        assert rig.source.problem is None
    await rig.source.close()


async def test_while_entra_fails_the_last_token_is_shown_until_its_end() -> None:
    rig = Rig()
    await rig.source.open()
    rig.entra.error = RuntimeError("AADSTS700016: no such application\nand a long trace")

    await asyncio.sleep(3550.0)
    assert rig.source.current.secret.endswith("token-1")
    assert "AADSTS700016" in (rig.source.warning or "")
    await asyncio.sleep(60.0)

    with pytest.raises(AuthenticationFailed, match=r"AZURE_SPEECH_RESOURCE_ID: .*AADSTS700016: no such application"):
        _ = rig.source.current
    assert rig.source.refresh_failures > 3
    await rig.source.close()


async def test_it_recovers_by_itself_when_entra_does() -> None:
    rig = Rig()
    rig.entra.error = RuntimeError("down")
    await rig.source.open()
    assert rig.source.problem is not None

    rig.entra.error = None
    await asyncio.sleep(2.0)

    assert rig.source.problem is None
    assert rig.source.warning is None
    await rig.source.close()


async def test_failures_are_met_with_a_growing_pause() -> None:
    rig = Rig()
    rig.entra.error = RuntimeError("down")
    await rig.source.open()

    await asyncio.sleep(600.0)

    assert 8 <= len(rig.entra.asked) <= 30
    await rig.source.close()


async def test_all_who_ask_at_once_share_one_request() -> None:
    rig = Rig()

    answers = await asyncio.gather(*(rig.source.renew() for _ in range(20)))

    assert all(answers)
    assert len(rig.entra.asked) == 1


async def test_a_request_that_hangs_is_bounded_and_not_repeated_beside_it() -> None:
    rig = Rig()
    rig.threads.hangs = True
    begun = asyncio.get_running_loop().time()

    await rig.source.open()

    assert elapsed(begun) == FETCH_LIMIT_SECONDS
    assert "none came within 30 s" in (rig.source.problem or "")
    await asyncio.sleep(500.0)
    assert rig.threads.calls == 1
    await rig.source.close()
    await settle()


async def test_a_missing_package_is_named() -> None:
    rig = Rig()
    rig.entra.error = ImportError("No module named azure.identity")

    await rig.source.open()

    assert "pip install 'speechpool[azure]'" in (rig.source.problem or "")
    await rig.source.close()
