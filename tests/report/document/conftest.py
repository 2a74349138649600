"""A real browser, and a page in it, opened from a disk."""

from __future__ import annotations

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

from goldenlayers.report.document.html import to_html
from tests.report.document import samples

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    wanted = os.environ.get("GL_BROWSER") == "1"
    if CHROMIUM is None:
        (pytest.fail if wanted else pytest.skip)("there is no chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield running
        running.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "a page.html"
    path.write_text(to_html(samples.document()), encoding="utf-8")
    return path


@pytest.fixture
def open_page(browser, file):
    """Open the page; afterwards nothing went wrong and nothing was asked for."""
    contexts, wrong = [], []

    def opened(width=1280, path=file, **settings):
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: wrong.append(f"console: {m.text}"))
        page.on("pageerror", lambda e: wrong.append(f"error: {e}"))
        page.on("dialog", lambda d: (wrong.append("dialog"), d.dismiss()))
        page.on("request", lambda r: None if r.url == path.as_uri() else allowed(r.url))
        page.goto(path.as_uri())
        return page

    def allowed(url):
        if not url.startswith(("data:", "blob:")):
            wrong.append(f"request: {url}")

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
