"""Text of users is text, wherever it is put."""

from __future__ import annotations

import json

import pytest
from markdown_it import MarkdownIt

from goldenlayers.report.document.text import (
    for_html,
    for_markdown,
    for_matplotlib,
    for_plotly,
    for_script,
    for_sheet,
    over_plotly,
    shortened,
    spelt,
)
from tests.report.document.samples import END, EVIL

HOSTILE = (
    EVIL, END, "", "# a", "1. one", "12. dozen", "- a", "+ a", "> a", "***", "a|b", "`x`", "<b>",
    "&lt;", "&amp;", "![a](b)", "[a]: http://x", "http://example.org", "www.example.org", "a\nb",
    "\\", "~~~",
    "---", "===", "=", "-", "- - -",
    "+0.4", "-1", "2.5", "$x$", "a  \nb", "<!-- a -->", "\\`", "_a_",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_what_was_written(text):
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    shown = " ".join(text.split())
    (paragraph, inline, _) = parser.parse(for_markdown(text)) or (None, None, None)
    if not shown:
        assert paragraph is None
        return
    assert paragraph.type == "paragraph_open"
    assert {child.type for child in inline.children} <= {"text", "text_special"}
    assert "".join(child.content for child in inline.children) == shown


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_of_a_markdown_table_is_one_cell(text):
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = parser.parse(f"| a | b |\n| --- | --- |\n| {for_markdown(text)} | z |")
    cells = [t for t in tokens if t.type == "inline"]
    assert len(cells) == 4
    assert cells[3].content == "z"
    assert "".join(c.content for c in cells[2].children) == " ".join(text.split())


def test_what_acts_is_spelt_out_and_joiners_stay():
    assert spelt("a\x00b\u202ec\ud800\x1b[0m") == "a\\x00b\\u202ec\\ud800\\x1b[0m"
    assert spelt("a\n\tb \u200d é 日本") == "a\n\tb \u200d é 日本"


def test_html():
    assert for_html("<a href=\"x\" b='y'>&") == "&lt;a href=&quot;x&quot; b=&#x27;y&#x27;&gt;&amp;"


def test_plotly_and_matplotlib():
    assert for_plotly("<b>a</b> & \n") == "&lt;b&gt;a&lt;/b&gt; &amp; \\n"
    assert for_matplotlib("$x^2$ <b>\n") == r"\$x^2\$ <b>\n"
    assert over_plotly("<b> " * 30).count("<br>") == 2
    assert over_plotly("") == ""


def test_json_in_a_script_ends_no_script_and_reads_back():
    value = {"a": [END, EVIL, "\u2028\u2029 <!-- ]]>", "\ud800", None, 0.1]}
    text = for_script(value)
    assert not set("<>&\u2028\u2029\ud800") & set(text)
    assert json.loads(text) == value
    with pytest.raises(ValueError):
        for_script(float("nan"))


@pytest.mark.parametrize("start", "=+-@\t\r")
def test_no_formula_in_a_sheet(start):
    assert for_sheet(f"{start}1") == f"'{start}1"


def test_other_text_of_a_sheet_stays():
    assert for_sheet("a=1") == "a=1"


def test_shortened():
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abc def", 5) == "abc…"
