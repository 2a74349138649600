"""Writing facts in our own format: read back they are the same, and half a file is never left."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldenlayers.errors import FactError, ResultError
from goldenlayers.facts import bundled_facts, read_facts
from goldenlayers.facts.convert import write_facts
from tests.facts.letters import as_list
from tests.facts.records import EXAMPLES, ONE_HOP, OWN

FACTS = [fact for _, fact in EXAMPLES.values()]


@pytest.mark.parametrize("name", EXAMPLES)
def test_read_back_it_is_the_same(tmp_path, name):
    record = EXAMPLES[name][0]
    if name in ("zsre-mend", "counterfact", "counterfact-flat"):
        record = record | {"portability": ONE_HOP}
    (tmp_path / "in.json").write_bytes(as_list([record]))
    facts = read_facts(tmp_path / "in.json")
    assert write_facts(facts, tmp_path / "out.jsonl") == 1
    again = read_facts(tmp_path / "out.jsonl")
    assert (again.facts, again.format) == (facts.facts, "golden-layers")
    assert (again.bad, again.notes, dict(again.unused)) == ((), (), {})


def test_all_formats_in_one_file_and_the_bundled_facts(tmp_path):
    facts = (*FACTS, *bundled_facts())
    assert write_facts(iter(facts), tmp_path / "out.ndjson") == len(facts)
    assert read_facts(tmp_path / "out.ndjson").facts == facts
    lines = (tmp_path / "out.ndjson").read_bytes().decode("utf-8").split("\n")
    assert (len(lines), lines[-1]) == (len(facts) + 1, "")
    assert "三月" in "".join(lines)  # to be read by people, too


def test_a_file_that_is_there_is_left_alone(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("mine")
    with pytest.raises(ResultError) as caught:
        write_facts(FACTS, path)
    assert str(caught.value) == f"{path}: there is a file already; delete it, or name another"
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("out.json", "the name ends in '.json'; expected .jsonl or .ndjson, for the own format is"),
        ("out", "the name ends in ''; expected .jsonl or .ndjson"),
        ("none/out.jsonl", "there is no folder "),
        ("x" * 5000 + ".jsonl", "File name too long"),
    ],
)
def test_places_that_are_none(tmp_path, name, why):
    with pytest.raises(ResultError) as caught:
        write_facts(FACTS, tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: {why}")
    assert list(tmp_path.iterdir()) == []


def test_stopped_half_way_it_leaves_nothing(tmp_path):
    (tmp_path / "in.json").write_bytes(as_list([OWN, OWN | {"id": 3}]))

    def cut():
        yield FACTS[0]
        raise KeyboardInterrupt

    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        write_facts(cut(), out)
    with pytest.raises(FactError, match="no facts to write"):
        write_facts([], out)
    assert [p.name for p in tmp_path.iterdir()] == ["in.json"]


def test_disk_that_is_full(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ResultError, match="cannot be written: No space left on device"):
        write_facts(FACTS, tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == []
