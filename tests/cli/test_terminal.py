"""Text of others on a terminal: shown, never obeyed."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
from rich.table import Table

from goldenlayers.cli.terminal import PlainConsole, for_machines
from tests import tiny

CLEAR, TITLE, BIDI, CSI = "\x1b[2J", "\x1b]0;owned\x07", "\u202etxt", "\x9b31m"
EVIL = f"{CLEAR}{TITLE}{BIDI}{CSI}"


def acting(text):
    return [c for c in text if not (c.isprintable() or c in "\n\t")]


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_printed_acts(terminal):
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=terminal, color_system=None, emoji=False)
    console.print(f"one {EVIL} one")
    table = Table(title=f"title {EVIL}")
    table.add_column(f"head {EVIL}")
    inner = Table()
    inner.add_column(EVIL)
    inner.add_row(EVIL)
    table.add_row(inner)
    table.add_row("Ölandic 三月 👩‍👩‍👧 می‌خواهم")
    console.print(table)
    said = file.getvalue()
    assert set(acting(said)) <= set("\u200d\u200c")  # joiners of emoji and Persian do no harm
    assert said.count(r"\x1b") >= 5
    assert "Ölandic 三月 👩‍👩‍👧 می‌خواهم" in said


def test_colours_and_cursor_of_ours_stay():
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, color_system="standard")
    console.print("[bold red]error:[/] here")
    console.show_cursor(False)
    assert "\x1b[1;31merror:" in file.getvalue()
    assert "\x1b[?25l" in file.getvalue()


def test_json_is_the_same_and_acts_on_nothing():
    data = {EVIL: [EVIL, "Ö", 1.5, float("inf")]}
    assert acting(for_machines(data)) == []
    assert json.loads(for_machines(data)) == data
    with pytest.raises(ValueError, match="Out of range"):
        for_machines(data, nan=False)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_fact_of_escapes(options, cli, write_facts):
    evil = dataclasses.replace(
        tiny.FACTS[0],
        id=EVIL, subject=f"[red]{EVIL}[/]", prompt=f"[red]{EVIL}[/] is",
    )  # fmt: skip
    said = cli("facts", write_facts([evil, evil]), "--skip-bad", *options)  # the second is bad
    assert said.status == 0
    assert acting(said.out + said.err) == []


def test_an_error_of_many_lines_is_one(cli, tmp_path):
    name = tmp_path / f"x\nerror: {EVIL}\n.jsonl"
    message = cli("facts", name).message
    assert acting(message) == []
    assert r"\nerror: \x1b[2J" in message
