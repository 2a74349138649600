"""How the page looks: narrow, dark, printed; and whether everyone can read it."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from tests.report.document.pages import HEAT, SCORE, see, see_all, until
from tests.report.document.samples import MODELS

pytestmark = pytest.mark.browser
# what is seen, in no container that scrolls, and yet leaves the page
OUTSIDE = """() => [...document.querySelectorAll("body *")].filter(e => {
  const box = e.getBoundingClientRect();
  if (!box.width || !box.height || e.closest(".skip, #js-plotly-tester")) return false;
  for (let up = e.parentElement; up; up = up.parentElement)
    if (/auto|scroll|hidden/.test(getComputedStyle(up).overflowX)) return false;
  return box.right > innerWidth + 0.5 || box.left < -0.5;
}).map(e => e.outerHTML.slice(0, 120))"""


def test_nothing_leaves_a_narrow_page(open_page):
    page = open_page(width=360)
    see_all(page)
    for summary in page.query_selector_all("details.data > summary"):
        summary.click()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    assert page.evaluate(OUTSIDE) == []
    wide = page.locator("#item-choices .scroll")
    assert wide.evaluate("e => e.scrollWidth > e.clientWidth && e.tabIndex === 0")


def test_marks_of_a_narrow_figure_do_not_meet(open_page):
    page = open_page(width=360)
    see_all(page)
    boxes = page.evaluate(
        """() => [...document.querySelectorAll(".plot")].map(plot =>
          [...plot.querySelectorAll(".xaxislayer-above .xtick text")]
            .filter(t => !/rotate\\((?!0)/.test(t.getAttribute("transform") || ""))
            .map(t => t.getBoundingClientRect()).map(b => [b.left, b.right]))"""
    )
    assert any(boxes)
    for plot in boxes:
        for (_, right), (left, _) in pairwise(plot):
            assert left >= right
    legends = page.evaluate(
        """() => [...document.querySelectorAll(".plot:has(.legend)")].map(plot =>
          [plot.querySelector(".legend").getBoundingClientRect().top,
           plot.querySelector(".nsewdrag").getBoundingClientRect().bottom])"""
    )
    assert len(legends) == 6
    assert all(top >= bottom for top, bottom in legends)


@pytest.mark.parametrize("width", [360, 1280])
def test_the_title_of_a_heat_map_meets_neither_cells_nor_names(open_page, width):
    page = open_page(width=width)
    see(page, HEAT)
    for model in MODELS:
        page.locator(f"{HEAT} select").select_option(label=model)
        left, right, title, names, cells = page.evaluate(
            """item => {
              const plot = document.querySelector(item + " .plot");
              const box = e => e.getBoundingClientRect();
              const title = [...plot.querySelectorAll(".annotation-text")]
                .find(e => e.textContent.startsWith("layer, down: "));
              return [box(title).left, box(title).right, box(title).top,
                Math.max(...[...plot.querySelectorAll("[class*=xaxislayer] text")]
                  .map(e => box(e).bottom)),
                Math.max(...[...plot.querySelectorAll(".nsewdrag")].map(e => box(e).bottom))];
            }""",
            HEAT,
        )
        assert title >= names - 3  # a text's box has some air beneath
        assert names > cells
        assert 0 <= left < right <= width


def test_the_dark_page_has_other_colours_in_its_figures_too(open_page):
    colours = """() => [getComputedStyle(document.body).backgroundColor,
      document.querySelector("#item-score-by-layer .plot").layout.paper_bgcolor,
      document.querySelector("#item-score-by-layer .plot").layout.font.color]"""
    page = open_page(color_scheme="dark")
    see(page, SCORE)
    dark = page.evaluate(colours)
    toggle = page.locator("[data-do=theme]")
    assert toggle.get_attribute("aria-pressed") == "true"
    toggle.click()
    light = page.evaluate(colours)
    assert dark == ["rgb(21, 24, 27)", "#15181B", "#E8E6E3"]
    assert light == ["rgb(255, 255, 255)", "#FFFFFF", "#222222"]
    page.emulate_media(color_scheme="light")
    page.emulate_media(color_scheme="dark")  # what was chosen stays
    assert page.evaluate(colours) == light


def test_in_print_the_controls_are_gone_and_the_figures_fit(open_page):
    page = open_page(width=680, color_scheme="dark")
    page.emulate_media(media="print")
    until(
        page,
        "document.querySelectorAll('.plot .main-svg').length >= 12",  # two to a figure
    )
    for gone in (".bar", ".buttons", "select", "summary"):
        assert not any(e.is_visible() for e in page.query_selector_all(gone))
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    widths = page.evaluate(
        "[...document.querySelectorAll('.plot .main-svg')].map(s => s.clientWidth)"
    )
    assert max(widths) <= 680
    assert page.evaluate(f"document.querySelector('{SCORE} .plot').layout.paper_bgcolor") == (
        "#FFFFFF"
    )
    said = page.evaluate(
        f"getComputedStyle(document.querySelector('{SCORE} label'), '::after').content"
    )
    assert said == f'"{MODELS[0]}"'
    page.emulate_media(media="screen")
    until(page, f"document.querySelector('{SCORE} .plot').layout.paper_bgcolor === '#15181B'")


def contrast(first, second):
    def luminance(colour):
        parts = [int(p) / 255 for p in re.findall(r"\d+", colour)[:3]]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(open_page, scheme):
    page = open_page(color_scheme=scheme)
    for selector in ("h1", ".says", ".bar a", "summary", ".buttons button", "th", "td", "del",
                     "ins", ".kind", "pre", ".none"):  # fmt: skip
        colour, back = page.evaluate(
            """selector => {
              let e = document.querySelector(selector), colour = getComputedStyle(e).color, back;
              do { back = getComputedStyle(e).backgroundColor; e = e.parentElement }
              while (e && back === "rgba(0, 0, 0, 0)");
              return [colour, back];
            }""",
            selector,
        )
        assert contrast(colour, back) >= 4.5, selector


def test_all_that_acts_has_a_name_and_a_visible_focus(open_page):
    page = open_page()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, select, [role=img], [role=region]")]
          .filter(e => !(e.getAttribute("aria-label") || e.textContent.trim()))
          .map(e => e.outerHTML)"""
    )
    assert nameless == []
    assert page.evaluate("[...document.querySelectorAll('select')].every(s => s.labels.length)")
    page.keyboard.press("Tab")
    assert page.locator(".skip").bounding_box()["x"] > 0
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
