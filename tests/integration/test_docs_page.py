"""The page /docs in a real browser: what someone sees, does and hears there, with no network but the listener."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.integration.browser import Page, browsing
from tests.integration.sidecar import Sidecar, running_sidecar

RECORDING = Path(__file__).parent.parent / "data" / "recordings" / "austen-0930.wav"
TOKEN = "a-token-of-some-length-1234567890"


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    directory = tmp_path_factory.mktemp("docs")
    (directory / "token").write_text(TOKEN)
    flags = ("--listen", "127.0.0.1:0", "--listen-token-file", str(directory / "token"))
    with running_sidecar(directory, *flags) as running:
        yield running


@pytest_asyncio.fixture
async def page(listening: Sidecar) -> AsyncIterator[Page]:
    """The page, loaded; whatever a test does, it asks nobody else and throws nothing."""
    origin = f"http://{listening.listening('listen')}"
    async with browsing() as page:
        await page.open(f"{origin}/docs")
        await page.until("document.querySelectorAll('#routes details').length > 0")
        yield page
        own = (f"{origin}/", f"blob:{origin}/", "data:")
        assert [url for url in page.requested if not url.startswith(own)] == []
        assert page.exceptions == []


async def test_a_text_is_spoken_and_heard(page: Page):
    await page.write("#token", TOKEN)
    await page.until("document.querySelectorAll('#voice option').length > 50")
    await page.write("#input", "Good morning.")
    await page.click("#speak button")

    seconds = await page.until("document.querySelector('#spoken audio')?.duration")
    await page.until("document.querySelector('#spoken audio').currentTime > 0")

    assert 0.4 < seconds < 4
    assert "x-speechpool-tier: warm" in await page.evaluate("document.querySelector('#spoken pre').textContent")


async def test_a_recording_is_understood(page: Page):
    await page.write("#token", TOKEN)
    await page.choose_file("#file", RECORDING)
    await page.click("#hear button")

    assert "even have been made" in await page.until("document.querySelector('#heard pre')?.textContent")


async def test_an_error_says_what_to_do(page: Page):
    await page.click("#speak button")
    without_a_token = await page.until("document.querySelector('#spoken .error')?.textContent")
    await page.write("#token", TOKEN)
    await page.choose_file("#file", Path(__file__))
    await page.click("#hear button")
    no_recording = await page.until("document.querySelector('#heard .error')?.textContent")

    assert without_a_token.startswith("401 invalid_token: ")
    assert no_recording.startswith("400 invalid_audio: ")


async def test_it_fits_narrow_and_wide_screens_light_and_dark(page: Page):
    await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    seen = set()
    for width in (360, 800, 1600):
        for dark in (False, True):
            await page.show(width, dark=dark)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            seen.add((dark, await page.evaluate("getComputedStyle(document.querySelector('.method')).color")))
    assert len(seen) == 2
