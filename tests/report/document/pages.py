"""What the tests of the page have in common."""

from __future__ import annotations

import pytest

SCORE, HEAT, LINES = "#item-score-by-layer", "#item-facts-by-layers", "#item-sequences"


def see(page, item):
    """Bring an item into view; its figure is drawn then."""
    page.locator(item).scroll_into_view_if_needed()
    page.wait_for_selector(f"{item} .plot .main-svg")


def see_all(page):
    for item in page.query_selector_all(".item:has(.plot)"):
        item.scroll_into_view_if_needed()
        item.wait_for_selector(".plot .main-svg")


def until(page, expression):
    """Wait for an expression to be true; the page's policy forbids playwright's own way."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never true: {expression}")


def golden(page, item=SCORE):
    """Return where the golden bar of a figure stands."""
    return page.evaluate(
        """item => {
          const bars = document.querySelector(item + " .plot").data.filter(t => t.type === "bar");
          return bars[1].x[bars[1].y.findIndex(v => v !== null)];
        }""",
        item,
    )


def column(page, item, k):
    return page.locator(f"{item} tbody tr > :nth-child({k})").all_text_contents()
