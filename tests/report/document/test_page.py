"""What the page does, in a real browser."""

from __future__ import annotations

import csv

import pytest

from goldenlayers.report.document.html import to_html
from goldenlayers.report.document.parts import Document
from tests.report.document import samples
from tests.report.document.pages import HEAT, LINES, SCORE, column, golden, see, see_all, until
from tests.report.document.samples import END, EVIL, MODELS

pytestmark = pytest.mark.browser


def test_every_figure_is_drawn_without_a_word_from_the_console(open_page):
    page = open_page()
    see_all(page)
    assert page.locator(".plot .main-svg").count() >= 6
    assert page.locator("html.plain").count() == 0
    assert page.evaluate("document.styleSheets.length") >= 1


PLACES = "[...document.querySelectorAll('.item')].map((e) => Math.round(e.offsetTop))"


def test_nothing_moves_away_when_figures_are_drawn(open_page):
    """A click that began on a button would end beside it."""
    page = open_page()
    page.evaluate("window.scrollTo(0, 0)")
    undrawn = "document.querySelectorAll('.plot:not(.js-plotly-plot)').length"
    assert page.evaluate(undrawn) > 0
    places = page.evaluate(PLACES)
    see_all(page)
    assert page.evaluate(PLACES) == places


def test_switches_change_the_figure_and_the_table(open_page):
    page = open_page()
    see(page, SCORE)
    assert golden(page) == 9
    page.locator(f"{SCORE} summary").click()
    before = column(page, SCORE, 2)
    page.get_by_label("model").first.select_option(label="gpt2-medium")
    assert golden(page) == 12
    assert column(page, SCORE, 2) != before
    assert page.locator(f"{SCORE} > .note").text_content() == "61 facts, 2 h"


def test_a_combination_that_is_missing_gives_the_nearest(open_page):
    page = open_page()
    see(page, SCORE)
    boxes = page.locator(f"{SCORE} select")
    boxes.nth(2).select_option(label="mean")
    assert boxes.nth(1).locator("option:checked").text_content() == "zsre"
    boxes.nth(0).select_option(label="gpt2-medium")  # which has no zsre
    assert boxes.nth(1).locator("option:checked").text_content() == "counterfact"
    assert boxes.nth(2).locator("option:checked").text_content() == "mean"
    assert "data set counterfact" in page.locator(f"{SCORE} .moved").text_content()
    boxes.nth(1).select_option(label="zsre")
    assert boxes.nth(0).locator("option:checked").text_content() == MODELS[0]


def test_switches_of_the_same_name_move_together(open_page):
    page = open_page()
    page.locator(f"{LINES} select").select_option(label=END)
    for item in (SCORE, HEAT):
        chosen = page.locator(f"{item} select").first.locator("option:checked")
        assert chosen.text_content() == END


def test_tables_sort_by_click_and_by_key(open_page):
    page = open_page()
    table = "#item-choices"
    head = page.locator(f"{table} th")
    assert head.first.get_attribute("aria-sort") == "none"
    head.nth(1).locator("button").click()
    assert head.nth(1).get_attribute("aria-sort") == "ascending"
    assert column(page, table, 2) == ["9", "10", "21", "100"]  # as numbers
    head.nth(1).locator("button").click()
    assert head.nth(1).get_attribute("aria-sort") == "descending"
    assert column(page, table, 2) == ["100", "21", "10", "9"]
    head.nth(4).locator("button").focus()
    page.keyboard.press("Enter")
    assert column(page, table, 5) == ["4 ms", "12.2 s", "3 min", "90 min"]
    assert head.nth(1).get_attribute("aria-sort") == "none"
    head.nth(2).locator("button").focus()
    page.keyboard.press("Space")
    assert column(page, table, 3) == ["−5.0", "+0.4", "+1.2", "–"]
    page.keyboard.press("Space")
    assert column(page, table, 3) == ["+1.2", "+0.4", "−5.0", "–"]  # None stays last


def test_the_csv_holds_the_data_in_full(open_page, tmp_path):
    page = open_page()
    page.locator("#item-choices th button").nth(1).click()  # the order of the file stays
    with page.expect_download() as download:
        page.locator("#item-choices [data-do=csv]").click()
    assert download.value.suggested_filename == "choices.csv"
    download.value.save_as(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["way", "chosen layer", "regret", "hit", "seconds", "of the best"],
        ["lga", "9", "0.0123456789", "true", "12.25", "0.98"],
        ["verified", "10", "0.004", "true", "180.0", ""],
        ["'=HYPERLINK(1)", "21", "-0.05", "false", "5400.0", "0.5"],
        [EVIL, "100", "", "", "0.004", "1.0"],
    ]


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_picture_of_a_view_can_be_had(open_page, tmp_path, kind):
    page = open_page(color_scheme="dark")
    page.locator(f"{SCORE} select").first.select_option(label="gpt2-medium")
    with page.expect_download() as download:
        page.locator(f"{SCORE} [data-do={kind}]").click()
    name = download.value.suggested_filename
    assert name == f"score-by-layer--gpt2-medium-counterfact-rewrite.{kind}"
    download.value.save_as(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    if kind == "png":
        assert data.startswith(b"\x89PNG")
    else:
        assert "Score by layer · gpt2-medium" in data.decode()
        assert "rgb(255, 255, 255)" in data.decode()  # light, whatever the page is


def test_the_model_card_is_copied_without_a_clipboard(open_page):
    page = open_page()
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.evaluate(
        "document.addEventListener('copy', () => { window.copied = document.activeElement.value })"
    )
    page.locator("[data-do=copy]").click()
    until(page, "document.querySelector('.copied').textContent === 'Copied.'")
    assert page.evaluate("window.copied") == samples.document().card
    page.evaluate("document.execCommand = () => false")
    page.evaluate("document.querySelector('.copied').textContent = ''")
    page.locator("[data-do=copy]").click()
    until(page, "document.querySelector('.copied').textContent.includes('Ctrl+C')")
    assert page.evaluate("getSelection().toString()").startswith("---\nlicense")


def test_hostile_text_is_seen_and_does_nothing(open_page):
    page = open_page()
    see_all(page)
    assert "<script>alert(1)</script>" in page.locator("h1").text_content()
    assert END in page.locator(".findings").text_content()
    assert page.locator("main img").count() == 0
    assert page.locator(f"{HEAT} .plot svg b").count() == 0
    assert "<script>" in page.locator(f"{HEAT} .plot").text_content()
    assert EVIL.replace("\u2028", "") in page.locator("#card-text").text_content().replace(
        "\u2028", ""
    )
    assert END in page.locator(f"{SCORE} option").all_text_contents()


def test_a_layer_shows_its_numbers_under_the_pointer(open_page):
    page = open_page()
    see(page, SCORE)
    box = page.locator(f"{SCORE} .plot .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 9.65 / 30.3, box["y"] + box["height"] * 0.6)
    page.wait_for_selector(f"{SCORE} .plot .hoverlayer .hovertext")
    said = page.locator(f"{SCORE} .plot .hoverlayer").text_content()
    assert "layer 9" in said
    assert "95.0%" in said


def test_without_scripts_every_table_is_read(open_page):
    page = open_page(java_script_enabled=False)
    items = [item for section in samples.document().sections for item in section.items]
    assert page.locator("table").count() == sum(len(item.views) for item in items)
    assert page.locator("h4").first.is_visible()
    assert not page.locator(f"{SCORE} select").first.is_visible()
    assert not page.locator("[data-do=csv]").first.is_visible()


def test_an_empty_document_opens(open_page, tmp_path):
    path = tmp_path / "empty.html"
    path.write_text(to_html(Document("nothing", (), (), ())), encoding="utf-8")
    page = open_page(path=path)
    assert page.locator("h1").text_content() == "nothing"
