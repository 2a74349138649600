"""The document as markdown."""

from __future__ import annotations

from markdown_it import MarkdownIt

from goldenlayers.report.document.markdown import to_markdown
from goldenlayers.report.document.parts import Document
from tests.report.document import samples


def test_pictures_tables_and_texts_are_there():
    text = to_markdown(samples.document(), {("grouped", 0): "figures/a b(1).png"})
    assert "![Score at the chosen layer](figures/a%20b%281%29.png)" in text
    assert "| =HYPERLINK\\(1\\) | 21 |" in text
    assert "| verified | 10 | +0.4 | yes | 3 min | – |" in text
    assert "- before: Paris, the city of light." in text
    assert "- before and after: Rome. It is old." in text
    assert text == to_markdown(samples.document(), {("grouped", 0): "figures/a b(1).png"})


def test_long_tables_of_figures_are_folded():
    text = to_markdown(samples.document(), {})
    assert text.count("<details><summary>The data: 30 rows</summary>") == text.count("</details>")
    assert text.count("</details>") == 16


def test_no_html_but_ours_and_the_card_stays_in_its_fence():
    document = samples.document()
    card = "````\n```\n<script>alert(1)</script>"
    text = to_markdown(Document(document.title, document.summary, document.findings,
                                document.sections, card), {})  # fmt: skip
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(text)
    inner = [t for token in tokens for t in (token.children or [])]
    assert [t.content for t in inner if t.type in ("html_inline", "link_open", "code_inline")] == []
    blocks = {t.content.strip() for t in tokens if t.type == "html_block"}
    assert blocks == {"<details><summary>The data: 30 rows</summary>", "</details>"}
    (fence,) = [t for t in tokens if t.type == "fence"]
    assert fence.content == card + "\n"


def test_nothing_gives_a_title():
    assert to_markdown(Document("t", (), (), ()), {}) == "# t\n"
