"""A document as one page that needs nothing else: no network, no second file."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from goldenlayers.extras import need
from goldenlayers.report.document.html_parts import stories, table_html
from goldenlayers.report.document.interactive import draw_interactive
from goldenlayers.report.document.look import DARK
from goldenlayers.report.document.names import file_names, slug, view_title
from goldenlayers.report.document.parts import Document, Item, Section, View
from goldenlayers.report.document.text import for_html, for_plotly, for_script
from goldenlayers.report.printable import spelt


def to_html(document: Document) -> str:
    """Return a document as a page.

    Scripts and styles are in it, plotly.js too. It may run its own scripts and reach no network;
    its policy says so to the browser. The same document gives the same page.

    Args:
        document: What is shown. All text of users stays text.

    Returns:
        HTML, to be written as UTF-8.

    Raises:
        SettingsError: If plotly is not installed.
    """
    plotly = need(
        "plotly.offline", "report", "a page needs", "have the report as markdown, with pictures"
    )
    scripts = [_script_text(plotly.get_plotlyjs()), _script_text(_template("page.js"))]
    return _filled(
        _template("page.html"),
        {
            "policy": _policy(scripts),
            "title": for_html(" ".join(document.title.split())),
            "style": _template("page.css"),
            "navigation": _navigation(document),
            "summary": _summary(document),
            "findings": _findings(document),
            "sections": "\n".join(_sections(document)),
            "card": _card(document),
            "colours": for_script(DARK),
            "plotly": scripts[0],
            "script": scripts[1],
        },
    )


def _template(name: str) -> str:
    text = (files("goldenlayers.report.document") / name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Fill a template in one go, so that nothing that is put in is looked at again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


def _script_text(script: str) -> str:
    # a browser takes every line's end for \n before it hashes
    script = script.replace("\r\n", "\n").replace("\r", "\n")
    return script.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def _policy(scripts: list[str]) -> str:
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    # plotly writes styles of its own, so that those cannot be told by hashes
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _navigation(document: Document) -> str:
    links = [(_anchor(section), section.title) for section in document.sections]
    if document.card:
        links.append(("card", "Model card"))
    return "".join(f'<li><a href="#{a}">{for_html(title)}</a></li>' for a, title in links)


def _anchor(section: Section) -> str:
    return f"section-{slug(section.name)}"


def _summary(document: Document) -> str:
    rows = (f"<div><dt>{for_html(k)}</dt><dd>{for_html(v)}</dd></div>" for k, v in document.summary)
    return f'<dl class="summary">{"".join(rows)}</dl>' if document.summary else ""


def _findings(document: Document) -> str:
    rows = "".join(f"<li>{for_html(finding)}</li>" for finding in document.findings)
    return f'<ul class="findings">{rows}</ul>' if rows else ""


def _sections(document: Document) -> Iterator[str]:
    names = file_names(document)
    for section in document.sections:
        anchor = _anchor(section)
        yield f'<section id="{anchor}" aria-labelledby="{anchor}-title">'
        yield f'<h2 id="{anchor}-title">{for_html(section.title)}</h2>'
        if section.says:
            yield f'<p class="says">{for_html(section.says)}</p>'
        for item in section.items:
            yield from _item(item, names)
        yield from stories(section.stories)
        yield "</section>"


def _item(item: Item, names: Mapping[tuple[str, int], str]) -> Iterator[str]:
    anchor = f"item-{slug(item.name)}"
    drawn = any(view.plot is not None for view in item.views)
    yield f'<article class="item" id="{anchor}" aria-labelledby="{anchor}-title">'
    yield f'<h3 id="{anchor}-title">{for_html(item.title)}</h3>'
    if item.says:
        yield f'<p class="says">{for_html(item.says)}</p>'
    switches = _switches(item)
    yield _controls(item, switches)
    if drawn:
        about = f"{item.title}. {item.says} The data are in the table beneath."
        yield f'<div class="plot js" role="img" aria-label="{for_html(about)}"></div>'
    yield '<p class="note js" hidden></p>'
    if drawn:
        yield '<details class="data js"><summary>Data</summary><div class="table"></div></details>'
    else:
        yield '<div class="table js"></div>'
    pictures = "".join(
        f'<button type="button" data-do="{kind}">Picture ({kind.upper()})</button>'
        for kind in (("svg", "png") if drawn else ())
    )
    yield (
        f'<div class="buttons js" role="group" aria-label="Files of {for_html(item.title)}">'
        f'<button type="button" data-do="csv">Data (CSV)</button>{pictures}</div>'
    )
    views = []
    for i, view in enumerate(item.views):
        at = [values.index(spelt(view.choice[name])) for name, values in switches]
        title = for_plotly(view_title(item.title, view.choice))
        plot = None if view.plot is None else draw_interactive(view.plot)
        height = 0 if plot is None else plot["layout"]["height"]  # kept free until it is drawn
        views.append({"at": at, "file": names[item.name, i], "title": title, "height": height})
        yield from _view(item, view, plot)
    told = {"switches": [{"name": spelt(n), "values": v} for n, v in switches], "views": views}
    yield f'<script type="application/json" class="views">{for_script(told)}</script></article>'


def _switches(item: Item) -> list[tuple[str, list[str]]]:
    return [
        (name, list(dict.fromkeys(spelt(view.choice[name]) for view in item.views)))
        for name in item.views[0].choice
    ]


def _controls(item: Item, switches: list[tuple[str, list[str]]]) -> str:
    """Return a box per switch; a switch with one value is words."""
    if not switches:
        return ""
    boxes = []
    for i, (name, values) in enumerate(switches):
        if len(values) == 1:
            boxes.append(
                f'<span class="switch"><span>{for_html(name)}</span>'
                f"<b>{for_html(values[0])}</b></span>"
            )
            continue
        options = "".join(
            f'<option value="{k}">{for_html(v)}</option>' for k, v in enumerate(values)
        )
        boxes.append(
            f'<label class="switch"><span>{for_html(name)}</span>'
            f'<select data-switch="{i}" autocomplete="off">{options}</select></label>'
        )
    return (
        f'<div class="controls js" role="group" aria-label="Switches of {for_html(item.title)}">'
        f'{"".join(boxes)}</div><p class="moved js" role="status"></p>'
    )


def _view(item: Item, view: View, plot: dict[str, Any] | None) -> Iterator[str]:
    """Yield a view and its plot: for people without scripts to read, for scripts to take."""
    said = ", ".join(f"{name}: {value}" for name, value in view.choice.items())
    head = f"<h4>{for_html(said)}</h4>" if said else ""
    note = f'<p class="note">{for_html(view.note)}</p>' if view.note else ""
    label = f"{item.title}, {said}" if said else item.title
    yield f'<noscript class="view">{head}{table_html(view.table, label)}{note}</noscript>'
    yield f'<script type="application/json" class="figure">{for_script(plot)}</script>'


def _card(document: Document) -> str:
    if not document.card:
        return ""
    return (
        '<section id="card" aria-labelledby="card-title"><h2 id="card-title">Model card</h2>'
        '<p class="says">For the README of the edited model.</p>'
        '<div class="buttons js"><button type="button" data-do="copy">Copy</button>'
        '<span class="copied" role="status"></span></div>'
        '<pre id="card-text" tabindex="0" role="region" aria-label="Text of the model card">'
        f"{for_html(document.card)}</pre></section>"
    )
