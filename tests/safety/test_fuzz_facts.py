"""Facts of every published format, damaged: read as far as they are sound, or refused in words.

The files are made here, of invented records in the published shapes. Reading is tried as a program
does it, and as the command line does it, where nobody may see a traceback or have his terminal
written to.
"""

from __future__ import annotations

import copy
import json

import pytest

from goldenlayers.facts.convert import write_facts
from goldenlayers.facts.read import read_facts
from tests import tiny
from tests.facts.records import EXAMPLES, IDS
from tests.safety.attack import attack, report
from tests.safety.watch import command_line

READ, COMMANDS = 40, 15  # mutations of a format, read by a program and by the command line
COPIES = 3


def records(name):
    """Return a few records of a format, each with an identifier of its own."""
    found = []
    for n in range(COPIES):
        record = copy.deepcopy(EXAMPLES[name][0])
        if name in IDS:
            old = record[IDS[name]]
            record[IDS[name]] = f"{old}{n}" if isinstance(old, str) else old + n
        found.append(record)
    return found


def published(folder, name):
    path = folder / "facts.json"
    path.write_text(json.dumps(records(name), ensure_ascii=False), encoding="utf-8")
    return path


def lines(folder, name):
    path = folder / "facts.jsonl"
    text = "".join(f"{json.dumps(r)}\n" for r in records(name))
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", [published, lines])
@pytest.mark.parametrize("name", EXAMPLES)
def test_damaged_facts_are_refused_in_words(name, kind, tmp_path, capsys):
    folder = tmp_path / "sound"
    folder.mkdir()
    path = kind(folder, name)
    assert len(read_facts(path)) == COPIES
    what = f"{name} as {path.suffix}"
    # as nothing is said, and strictly: a published file's bad records are else set aside
    skip = None if kind is published else False

    def read():
        return read_facts(path, skip_bad=skip)

    report(capsys, what, READ, attack(folder, read, what, READ))


@pytest.mark.parametrize("name", EXAMPLES)
def test_nobody_sees_a_traceback(name, tmp_path, capsys):
    folder = tmp_path / "sound"
    folder.mkdir()
    path = published(folder, name)
    halves = 0

    def read():
        nonlocal halves
        halves += 1
        options = [["--json"], ["--convert", folder / "out.jsonl"], ["--sample", "1"], []]
        return command_line("facts", path, *options[halves % 4])

    assert read().status == 0
    report(capsys, f"facts {name}", COMMANDS, attack(folder, read, f"cli {name}", COMMANDS))


def test_what_was_converted_is_read_again_or_refused(tmp_path, capsys):
    folder = tmp_path / "sound"
    folder.mkdir()
    write_facts(tiny.FACTS, folder / "facts.jsonl")
    (folder / "facts.csv").write_text(
        "id,subject,prompt,target_new\n1,Vell,Vell is,big\n2,Nord,Nord is,small\n", encoding="utf-8"
    )

    def read():
        said = [command_line("facts", p, "--skip-bad") for p in sorted(folder.glob("facts.*"))]
        return max(said, key=lambda one: one.status)

    assert read().status == 0
    report(capsys, "own facts", COMMANDS, attack(folder, read, "own", COMMANDS))
