"""Some views of a document."""

from __future__ import annotations

import dataclasses

import pytest

from goldenlayers.errors import SettingsError
from goldenlayers.report.document.parts import Document, Item, Section, Story, Table, View
from goldenlayers.report.document.where import asked_for, where, without_stories


def item(name, *choices):
    return Item(name, name, "", tuple(View(c, Table(("a",), ())) for c in choices))


BARS = item("bars", *({"model": m, "score": s} for m in ("x", "y") for s in ("rewrite", "mean")))
COST = item("cost", *({"model": m, "data set": d} for m in ("x", "y") for d in ("all", "zsre")))
TRACE = item("trace", *({"data set": d} for d in ("zsre", "bundled")))
PLAIN = item("plain", {})
DOCUMENT = Document("t", (), (), (Section("s", "s", items=(BARS, COST)),
                                  Section("u", "u", items=(TRACE, PLAIN))))  # fmt: skip


def left(*texts):
    found = where(DOCUMENT, asked_for(texts))
    return {i.name: [tuple(v.choice.values()) for v in i.views]
            for s in found.sections for i in s.items}  # fmt: skip


def test_nothing_asked_for_keeps_everything():
    assert where(DOCUMENT, []) == DOCUMENT


def test_items_without_the_switch_or_the_value_keep_their_views():
    found = left("score=mean", "data set=all")
    assert found == {
        "bars": [("x", "mean"), ("y", "mean")],
        "cost": [("x", "all"), ("y", "all")],
        "trace": [("zsre",), ("bundled",)],
        "plain": [()],
    }


def test_of_several_values_the_first_that_is_there():
    found = left("data set=all", "data set=bundled", "model=y")
    assert found["cost"] == [("y", "all")]
    assert found["trace"] == [("bundled",)]
    assert found["bars"] == [("y", "rewrite"), ("y", "mean")]


def test_without_stories_the_rest_is_the_same():
    stories = (Story("best", (), ()),)
    first, second = DOCUMENT.sections
    second = dataclasses.replace(second, stories=stories)
    sections = (first, second, Section("texts", "texts", stories=stories))
    told = dataclasses.replace(DOCUMENT, sections=sections)
    assert without_stories(told) == DOCUMENT


@pytest.mark.parametrize(
    ("text", "message"),
    [("score", "expected SWITCH=VALUE"), ("=mean", "expected SWITCH=VALUE"),
     ("scores=mean", r"switch 'scores' is unknown; did you mean score\?"),
     ("score=meen", r"score 'meen' is unknown; did you mean mean\? \(there are rewrite, mean\)")],
)  # fmt: skip
def test_what_is_not_there_is_named(text, message):
    with pytest.raises(SettingsError, match=message):
        left(text)
