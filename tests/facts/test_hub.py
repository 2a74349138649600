"""Facts of the hub, with a stand-in for `datasets`, and with the library where it is installed."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from goldenlayers.errors import FactError, SettingsError
from goldenlayers.facts import read_facts
from goldenlayers.facts.hub import HubFacts, without_nulls
from goldenlayers.facts.read import content_sha256
from tests.facts.letters import as_lines
from tests.facts.records import EXAMPLES

RECORD, FACT = EXAMPLES["wiki-counterfact"]
FORM = "hub:owner/name, hub:owner/name/config, and if wanted @commit and :split behind it"


@pytest.fixture
def hub(monkeypatch):
    """Return a function that puts a stand-in for `datasets` in place, and a list of its calls."""
    calls = []

    def stand_in(splits):
        def load_dataset(name, config, *, split, revision):
            calls.append((name, config, split, revision))
            if isinstance(splits, Exception):
                raise splits
            return splits if split is None else splits[split]

        monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
        return calls

    return stand_in


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hub:a/b", HubFacts("a/b")),
        ("hub:a/b:test", HubFacts("a/b", None, "test")),
        ("hub:a/b/c", HubFacts("a/b", "c")),
        ("hub:a/b/c:d", HubFacts("a/b", "c", "d")),
        ("hub:a/b@1f0e", HubFacts("a/b", None, None, "1f0e")),
        ("hub:a/b/c@v1.0:d", HubFacts("a/b", "c", "d", "v1.0")),
    ],
)
def test_names(text, expected):
    assert HubFacts.of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        f"hub:{t}"
        for t in (
            "",
            "a",
            "/b",
            "a//c",
            "a/b/c/d",
            "a/b:",
            "a/b:c:d",
            "a/b@",
            "a/b@:c",
            "@x",
            "\0b",
            "x" * 5000,
        )
    ],
)
def test_names_that_are_none(text):
    with pytest.raises(SettingsError) as caught:
        read_facts(text)
    assert str(caught.value).startswith(f"facts {text!r}: expected {FORM}")


def test_local_folder(tmp_path):
    assert HubFacts.of(f"hub:{tmp_path}") == HubFacts(str(tmp_path))
    assert HubFacts.of(f"hub:{tmp_path}:test") == HubFacts(str(tmp_path), None, "test")


def test_rows_become_facts_and_nulls_are_dropped(hub):
    # rows of one data set share their columns: what a record has not is null
    rows = [
        RECORD | {"rephrase": None, "cond": None},
        RECORD | {"subject": None, "extra": 1},
        RECORD,
    ]
    rows[0]["locality"] = RECORD["locality"] | {"Other": None}
    calls = hub({"train": rows})
    read = read_facts("hub:own/er/conf:train")
    assert set(calls) == {("own/er", "conf", "train", None)}
    read_facts("hub:own/er@1f0e:train")
    assert calls[-1] == ("own/er", None, "train", "1f0e")
    assert (read.format, read.source) == ("wiki-counterfact", "hub:own/er/conf:train")
    assert [f.id for f in read] == ["wiki-counterfact-0", "wiki-counterfact-2"]
    assert read[0] == FACT
    assert [(b.line, b.record) for b in read.bad] == [(2, 1)]
    assert read.bad[0].reason.startswith("field 'subject' is missing")
    assert dict(read.unused) == {"extra": 1}
    assert read.sha256 == content_sha256(read)


def test_digest_is_that_of_what_the_facts_say(hub):
    hub({"train": [RECORD], "test": [RECORD, RECORD]})
    one, two = read_facts("hub:a/b:train"), read_facts("hub:a/b:test")
    assert one.sha256 == content_sha256([FACT]) != two.sha256


def test_the_only_split_needs_no_name_and_of_several_one_must_be_named(hub):
    hub({"valid": [RECORD]})
    assert read_facts("hub:a/b").facts == (FACT,)
    hub({"test": [RECORD], "train": [RECORD]})
    with pytest.raises(FactError) as caught:
        read_facts("hub:a/b")
    expected = "data set 'a/b' has the splits test, train; name one: hub:a/b:test"
    assert str(caught.value) == expected


def test_rows_that_are_no_facts(hub):
    hub({"train": [{"question": "?"}]})
    with pytest.raises(FactError, match=r"hub:a/b: its format is not known. Its first record has"):
        read_facts("hub:a/b")
    hub({"train": []})
    with pytest.raises(FactError, match=r"hub:a/b: no facts in it"):
        read_facts("hub:a/b")


def test_whatever_the_library_raises_is_named(hub):
    def rows():
        yield RECORD
        raise ConnectionError("the network\nis down")

    for fault, first in [
        (ValueError("no such split\nwith more"), "no such split"),
        (RuntimeError(), "RuntimeError"),
        ({"train": rows()}, "the network"),
    ]:
        hub(fault)
        with pytest.raises(FactError) as caught:
            read_facts("hub:a/b")
        assert str(caught.value) == (
            f"data set 'a/b' cannot be read: {first} [check the name, the configuration and the "
            f"split, {FORM}, and the network; or download the file and name it]"
        )


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SettingsError) as caught:
        read_facts("hub:a/b")
    assert str(caught.value) == (
        "facts from the hub need the package datasets: pip install 'golden-layers[datasets]'; or "
        "download the file and name it"
    )


def test_nulls_within():
    value = {"a": None, "b": {"c": None, "d": [None, {"e": None}, 0]}, "f": False, "g": ""}
    assert without_nulls(value) == {"b": {"d": [None, {}, 0]}, "f": False, "g": ""}


def test_with_the_library_itself(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    records = [EXAMPLES["counterfact-flat"][0] | {"case_id": i} for i in range(3)]
    del records[1]["rephrase_prompt"]
    (folder / "train.jsonl").write_bytes(as_lines(records))
    read = read_facts(f"hub:{folder}")
    (tmp_path / "same.json").write_text(json.dumps(records), encoding="utf-8")
    assert read.facts == read_facts(tmp_path / "same.json").facts


def test_columns_of_mixed_types_arrive_as_they_are(tmp_path):
    # the library turns such columns into JSON text when it streams them
    record = EXAMPLES["wiki-recent"][0]
    ways = ("Oslo", ["Oslo", "Kristiania"], [["Oslo"], ["Bergen", "Bjørgvin"]])
    records = [
        {**record, "target_new": "Oslo", "portability": {}, "locality": {kind: [probe]}}
        for kind, way in zip("abc", ways, strict=True)
        for probe in [{"prompt": f"{record['subject']} lies near", "ground_truth": way}]
    ]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.jsonl").write_bytes(as_lines(records))
    (tmp_path / "same.json").write_text(json.dumps(records), encoding="utf-8")
    assert read_facts(f"hub:{folder}").facts == read_facts(tmp_path / "same.json").facts
