"""A real Chromium without a window, driven over its own DevTools protocol.

The protocol: https://chromedevtools.github.io/devtools-protocol/. One page, at a time one caller.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import websockets

__all__ = ["Page", "browsing", "find_chromium"]

PATIENCE_SECONDS = 60.0
"""The bound of every wait: far above what any of them takes."""

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chromium-headless-shell", "chrome")

_MISSING = (
    "no Chromium was found: the test of the page /docs needs one. Install it (Debian: `apt-get install chromium`), or "
    "name it in CHROMIUM=/path/to/chromium"
)


def find_chromium() -> str:
    """Where the browser is.

    Raises:
        FileNotFoundError: There is none; the message says what to do.
    """
    names = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else _NAMES
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise FileNotFoundError(_MISSING)
    return found


class Page:
    """One page of a browser.

    Args:
        connection: To the page's own address of the DevTools protocol.
    """

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.exceptions: list[str] = []
        self.requested: list[str] = []

    async def listen(self) -> None:
        """Take answers and events until the browser ends."""
        async for text in self._connection:
            message = json.loads(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            else:
                self._note(message["method"], message["params"])

    def _note(self, method: str, event: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requested.append(event["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.exceptions.append(event["exceptionDetails"]["exception"]["description"])

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call one method of the protocol."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = await answer
        assert "error" not in message, f"{method}: {message['error']}"
        result: dict[str, Any] = message["result"]
        return result

    async def open(self, url: str) -> None:
        """Load a page and all that it asks for."""
        for domain in ("Page", "Runtime", "Network", "DOM"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, its promise awaited."""
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until a JavaScript expression is true; its value."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (value := await self.evaluate(expression)):  # noqa: ASYNC110 - a page has no event for it
                await asyncio.sleep(0.02)
        return value

    async def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element, as it lies on the screen."""
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        box = await self.evaluate(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    async def write(self, selector: str, text: str) -> None:
        """Replace what is in a field, as the keyboard does; then leave the field."""
        field = f"document.querySelector({json.dumps(selector)})"
        await self.evaluate(f"{field}.focus(), {field}.select()")
        await self.call("Input.insertText", text=text)
        await self.evaluate(f"{field}.blur()")

    async def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in an upload field."""
        root = (await self.call("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.call("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    async def show(self, width: int, *, dark: bool = False) -> None:
        """Be a screen of this width, in pixels, of someone who likes it light or dark."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )


@contextlib.asynccontextmanager
async def browsing() -> AsyncIterator[Page]:
    """An empty page of a browser that reaches nothing but this machine."""
    with tempfile.TemporaryDirectory(prefix="speechpool-browser-", ignore_cleanup_errors=True) as profile:
        process = await _start(profile)
        try:
            port = await _port(process)
            async with httpx.AsyncClient() as http:
                pages = (await http.get(f"http://127.0.0.1:{port}/json/list")).json()
            url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
            async with websockets.connect(url, max_size=None) as connection, asyncio.TaskGroup() as tasks:
                page = Page(connection)
                listener = tasks.create_task(page.listen())
                yield page
                listener.cancel()
        finally:
            process.terminate()
            await process.communicate()


async def _start(profile: str) -> Process:
    flags = [
        "--headless",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        "--disable-background-networking",
        "--disable-gpu",
        "--disable-dev-shm-usage",  # containers have little of it
        "--no-first-run",
        "--mute-audio",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # Chromium has no sandbox for root
    ]
    return await asyncio.create_subprocess_exec(
        find_chromium(), *flags, "about:blank", stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
    )


async def _port(process: Process) -> int:
    assert process.stderr
    said = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for line in process.stderr:
            said += line
            if found := re.search(rb"DevTools listening on ws://127\.0\.0\.1:(\d+)/", line):
                return int(found[1])
    raise AssertionError(f"Chromium ended at once:\n{said.decode(errors='replace')}")


if __name__ == "__main__":
    try:
        find_chromium()
    except FileNotFoundError as error:
        sys.exit(str(error))
