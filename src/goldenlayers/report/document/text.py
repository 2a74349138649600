"""Text that is not ours, made fit for each place where it is shown.

Subjects, prompts, names of models and data sets are what somebody's files say. In none of these
places may they be anything but text.
"""

from __future__ import annotations

import html
import json
import re
import textwrap
from typing import Any

from goldenlayers.report.printable import printable, spelt

_MARKDOWN = re.compile(
    r"[\\`*_{}\[\]()#!|~$]|^[-+](?=[\s+-]|$)|^=(?==|$)|^:|(?<=\w):(?=//)|(?<=www)\."
)


def for_html(text: str) -> str:
    """Return text for an element or a quoted attribute."""
    return html.escape(spelt(text), quote=True)


def for_plotly(text: str) -> str:
    """Return text for a label of plotly, which takes tags and entities for markup."""
    return html.escape(printable(text), quote=False)


def over_plotly(text: str, most: int = 120) -> str:
    """Return text for what plotly shows over a mark: escaped, in lines that are not too long."""
    lines = textwrap.wrap(printable(shortened(text, most)), 48) or [""]
    return "<br>".join(for_plotly(line) for line in lines)


def for_matplotlib(text: str) -> str:
    """Return text that takes part in no formula."""
    return printable(text).replace("$", r"\$")


def for_markdown(text: str) -> str:
    """Return text as one line of markdown, in a cell of a table too.

    What markdown could take for markup is escaped; what HTML could, is an entity.
    """
    line = html.escape(" ".join(spelt(text).split()), quote=False)
    marked = _MARKDOWN.sub(lambda found: f"\\{found[0]}", line)
    return re.sub(r"^(\d+)\.(?=\s|$)", r"\1\.", marked)  # no item of a list


def for_script(value: Any) -> str:
    """Return a value as JSON that may stand in a script element of a page.

    Raises:
        ValueError: If a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def for_sheet(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def shortened(text: str, length: int) -> str:
    """Return text of at most so many characters, the end given way to an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
