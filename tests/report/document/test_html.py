"""The page as text; `test_page` opens it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from goldenlayers.errors import SettingsError
from goldenlayers.report.document.html import to_html
from goldenlayers.report.document.html_parts import compared, table_html
from goldenlayers.report.document.parts import Document, Item, Section, Table, View
from tests.report.document import samples
from tests.report.document.samples import END


@pytest.fixture(scope="module")
def page():
    return to_html(samples.document())


class Outline(HTMLParser):
    """Elements, headings and the text of scripts."""

    def __init__(self):
        super().__init__()
        self.tags, self.scripts, self.attributes, self.inside = [], [], [], False

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = tag == "script"
        self.attributes.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append([dict(attrs), ""])

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1][1] += data


def read(page):
    outline = Outline()
    outline.feed(page)
    return outline


def test_the_same_document_gives_the_same_page(page):
    assert to_html(samples.document()) == page


def test_nothing_is_loaded_and_the_policy_says_so(page):
    outline = read(page)
    for tag, attributes in outline.attributes:
        assert "src" not in attributes, tag
        assert attributes.get("href", "#").startswith(("#", "data:,")), tag
        assert not any(name.startswith("on") for name in attributes), tag
        assert "style" not in attributes
    policy = next(a["content"] for t, a in outline.attributes if t == "meta" and "content" in a)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "connect" not in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]
    for attributes, text in outline.scripts:
        if "type" not in attributes:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy


def test_no_element_comes_from_text(page):
    outline = read(page)
    assert "img" not in outline.tags
    assert outline.tags.count("b") < 20
    assert [text for _, text in outline.scripts if text.startswith("alert")] == []
    assert "alert(1)</script>" not in page
    for attributes, text in outline.scripts:
        if attributes.get("type") == "application/json":
            json.loads(text)
            assert "<" not in text


def test_headings_come_in_order_and_every_item_is_there(page):
    levels = [int(tag[1]) for tag in read(page).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    ids = [a["id"] for _, a in read(page).attributes if "id" in a]
    assert len(ids) == len(set(ids))
    for section in samples.document().sections:
        assert f"section-{section.name}" in ids
        assert all(f"item-{item.name}" in ids for item in section.items)


def test_every_view_has_its_table_without_scripts(page):
    assert page.count('<noscript class="view">') == sum(
        len(item.views) for s in samples.document().sections for item in s.items
    )


def test_an_empty_document_is_a_page():
    page = to_html(Document("nothing", (), (), ()))
    assert "<h1>nothing</h1>" in page
    assert 'id="card"' not in page.split("<script")[0]


def test_text_that_looks_like_a_place_of_the_template_stays():
    page = to_html(Document("{{script}}", (), ("{{plotly}}",), ()))
    assert "<h1>{{script}}</h1>" in page
    assert "<li>{{plotly}}</li>" in page


def test_half_a_character_can_be_written(tmp_path):
    bad = "\ud800 \x00"
    table = Table((bad,), ((bad,),))
    item = Item("a", bad, bad, (View({bad: bad}, table), View({bad: "b"}, table)))
    page = to_html(Document(bad, ((bad, bad),), (bad,), (Section("s", bad, bad, (item,)),), bad))
    (tmp_path / "page.html").write_text(page, encoding="utf-8")


def test_without_plotly_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(SettingsError, match=r"golden-layers\[report\].*markdown"):
        to_html(samples.document())


def test_cells_have_their_whole_numbers():
    nan, inf = float("nan"), float("inf")
    table = Table(("a", "b"), ((1 / 3, None), (nan, True), (-inf, "<i>")), {"a": "percent"})
    found = table_html(table, "x")
    assert '<td class="n" data-v="0.3333333333333333">33.3%</td>' in found
    assert '<td class="none">–</td>' in found
    assert '<td class="n" data-v="NaN">–</td>' in found
    assert '<td data-v="true">yes</td>' in found
    assert '<td class="n" data-v="-Infinity">−∞</td>' in found
    assert "<td>&lt;i&gt;</td>" in found


def test_what_changed_is_told_by_more_than_colour():
    before, after = compared("It is Paris, of course.", "It is Lyon, of course.")
    assert before == "It is <del>Paris</del>, of course."
    assert after == "It is <ins>Lyon</ins>, of course."
    assert compared("", "a") == ('<i class="nothing">(nothing)</i>', "<ins>a</ins>")
    assert compared("same", "same") == ("same", "same")
    assert compared("one two three", "<b>, nothing alike") == (
        "<del>one two three</del>", "<ins>&lt;b&gt;, nothing alike</ins>",
    )  # fmt: skip
    assert "<img" not in compared(END, END + "x")[1]
    assert len(compared("a " * 5000, "b " * 5000)[0]) == 10000


def test_a_card_is_shown_as_it_is():
    page = to_html(replace(samples.document(), card="# <b>\n| a |"))
    assert "# &lt;b&gt;\n| a |</pre>" in page
