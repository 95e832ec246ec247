"""Debian's chromium, which shows the pages that the programs write."""

import os
import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import sync_playwright


@contextmanager
def browser():
    """A browser without a window; its absence fails in CI and skips the test elsewhere."""
    chromium = shutil.which("chromium")
    if chromium is None:
        absent = "chromium is not here; apt install chromium"
        pytest.fail(absent) if os.environ.get("CI") else pytest.skip(absent)
    with sync_playwright() as playwright:
        # Root, whom containers run as, has no sandbox; pages are our own.
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


def open_page(opened, path, **settings):
    """Return the page of a file, and the list that its errors go to."""
    page, errors = opened.new_page(**settings), []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: errors.append(request.url))
    page.goto(path.as_uri())
    errors.remove(path.as_uri())
    return page, errors
