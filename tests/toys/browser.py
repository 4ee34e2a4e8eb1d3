"""A headless Chromium that is told what to do through a pipe: opens a page from a file and says what became of it."""

import base64
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --remote-debugging-pipe"
)


@dataclass(kw_only=True)
class Seen:
    """What a page did.

    Attributes:
        requests: addresses that were asked for, the page's own file left out.
        errors: of scripts and of the console, breaches of the content security policy among them.
        num_drawn: figures that plotly has drawn.
        width: of the document, in CSS pixels.
        too_wide: elements outside of a scrolling box that stick out of the window, named.
    """

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    num_drawn: int = 0
    width: int = 0
    too_wide: list[str] = field(default_factory=list)


_TOO_WIDE = """
[...document.querySelectorAll('main *, header *')].filter(one => {
  if (one.closest('.scroll, .plot-box')) return one.matches('.scroll, .plot-box') && sticks(one);
  return sticks(one);
}).map(one => one.tagName + ' ' + one.textContent.slice(0, 40));
function sticks(one) { return one.getBoundingClientRect().right > window.innerWidth + 1; }
"""


class Browser:
    """One process; a context manager that ends it. Args: folder: for its profile."""

    def __init__(self, folder: Path) -> None:
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        command = [str(CHROMIUM), *_FLAGS.split(), f"--user-data-dir={folder}"]
        places = {"IN": str(to_browser), "OUT": str(from_browser)}
        self._process = subprocess.Popen(
            # Chromium reads from descriptor 3 and writes to 4.
            ["bash", "-c", 'exec "$@" 3<&"$IN" 4>&"$OUT"', "bash", *command],
            pass_fds=(to_browser, from_browser),
            env={**os.environ, **places},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._number, self._buffer = 0, b""
        self._events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *problem: object) -> None:
        os.close(self._to)
        os.close(self._from)
        self._process.terminate()
        self._process.wait(timeout=30)

    def open(self, path: Path, *, width: int, height: int = 900) -> Seen:
        """Opens a page in a window of this width and waits until all its figures are drawn."""
        self._events.clear()
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask("Page.navigate", url=f"file://{path}")
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._hear()
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return Seen(
            requests=[url for url in self._requests() if url != f"file://{path}"],
            errors=[*self._errors()],
            num_drawn=self.run("document.querySelectorAll('.js-plotly-plot .main-svg:first-child').length"),
            width=self.run("document.documentElement.scrollWidth"),
            too_wide=self.run(_TOO_WIDE),
        )

    def run(self, script: str) -> Any:
        """The value of a script, which may be a promise, in the page."""
        said = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def picture(self) -> bytes:
        """The whole page, as PNG."""
        said = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(said["data"])

    def ask(self, method: str, **parameters: Any) -> Any:
        """Sends a command of the DevTools protocol and waits for its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                return heard["result"]

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            data = os.read(self._from, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        heard: dict[str, Any] = json.loads(text)
        if "method" in heard:
            self._events.append(heard)
        return heard

    def _requests(self) -> list[str]:
        sent = [event for event in self._events if event["method"] == "Network.requestWillBeSent"]
        urls = [event["params"]["request"]["url"] for event in sent]
        return [url for url in urls if not url.startswith(("data:", "blob:"))]

    def _errors(self) -> list[str]:
        found = []
        for event in self._events:
            if event["method"] == "Runtime.exceptionThrown":
                details = event["params"]["exceptionDetails"]
                found.append(details.get("exception", {}).get("description", details["text"]))
            elif event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(event["params"]["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled" and event["params"]["type"] == "error":
                found.append(json.dumps(event["params"]["args"])[:400])
        return found
