"""A real browser for the tests of pages: the machine's Chromium, driven by Playwright's client."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

NAMES = ("chromium", "chromium-browser", "google-chrome")
# No sandbox, for tests may run as root in a container; nothing that calls home.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def launch() -> "Iterator[Browser]":
    """A headless browser; the test is skipped, with the reason, where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[test]'")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip(f"no browser ({', '.join(NAMES)}) on this machine: sudo apt install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def complaints(page: "Page") -> list[str]:
    """A list that fills with what goes wrong in a page: errors, warnings on the console, and requests that fail.

    A request that the browser itself gives up, for the page is left while its icon still loads, has not failed.
    """
    found: list[str] = []

    def note_failure(request: "Request") -> None:
        if request.failure != "net::ERR_ABORTED":
            found.append(f"failed: {request.url[:200]}")

    page.on("console", lambda message: found.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("requestfailed", note_failure)
    return found
