"""Figures and tables as files."""

from __future__ import annotations

import csv
import re

import pytest

from goldenlayers.errors import ResultError, SettingsError
from goldenlayers.report.document.files import to_csv, write_figures
from goldenlayers.report.document.names import file_names, slug
from goldenlayers.report.document.parts import Document, Item, Section, Table, View
from tests.report.document import samples
from tests.report.document.samples import EVIL

TABLE = Table(("a",), ((1,),))


def document(*values, name="item"):
    views = tuple(View({"v": value}, TABLE) for value in values)
    return Document("t", (), (), (Section("s", "s", "", (Item(name, "t", "", views),)),))


def test_names_are_safe_and_no_two_are_the_same():
    values = ("a/b", "a\\b", "../../etc", "", "..", "é", "日本", "x" * 500, "x" * 501, "A B", "a-b",
              "a-b-2", EVIL, "\ud800", "con")  # fmt: skip
    names = list(file_names(document(*values)).values())
    assert len(set(names)) == len(values)
    assert all(re.fullmatch(r"item--[a-z0-9-]{1,80}", name) for name in names)
    assert names[:2] == ["item--a-b", "item--a-b-2"]
    assert slug("  ") == ""


def test_without_switches_a_file_is_called_as_its_item():
    one = Document("t", (), (), (Section("s", "s", "", (
        Item("one", "t", "", (View({}, TABLE),)),)),))  # fmt: skip
    assert file_names(one) == {("one", 0): "one"}


def test_a_csv_has_the_numbers_in_full_and_no_formulas():
    table = Table(
        ("=name", "share", "b"),
        (('@a,\n"q"', 1 / 3, True), ("-1", None, None), ("plain", -0.5, False)),
        {"share": "percent"},
    )
    assert list(csv.reader(to_csv(table).splitlines(keepends=True))) == [
        ["'=name", "share", "b"],
        ['\'@a,\n"q"', "0.3333333333333333", "true"],
        ["'-1", "", ""],
        ["plain", "-0.5", "false"],
    ]


def test_each_view_has_its_pictures_and_its_table(tmp_path):
    small = Document("t", (), (), (Section("s", "s", "", (
        Item("lines", "t", "", (View({"m": "a/b"}, TABLE, samples.lines()),
                                View({"m": "\ud800"}, Table(("c",), (("\ud800",),))))),
    )),))  # fmt: skip
    told = []
    made = write_figures(small, tmp_path / "new", progress=lambda *a: told.append(a))
    assert {k: [p.name for p in v] for k, v in made.items()} == {
        ("lines", 0): ["lines--a-b.png", "lines--a-b.svg", "lines--a-b.csv"],
        ("lines", 1): ["lines--view.csv"],
    }
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(
        p.name for paths in made.values() for p in paths
    )
    assert told == [("figures", 0, 2), ("figures", 1, 2), ("figures", 2, 2)]
    before = {p: p.read_bytes() for paths in made.values() for p in paths}
    write_figures(small, tmp_path / "new")
    assert {p: p.read_bytes() for p in before} == before


def test_an_unknown_format_and_a_closed_folder_are_told(tmp_path, read_only):
    with pytest.raises(SettingsError, match="'gif': there are png, svg, pdf"):
        write_figures(document("a"), tmp_path, ("gif",))
    read_only(tmp_path)
    with pytest.raises(ResultError, match="cannot be written"):
        write_figures(document("a"), tmp_path)


def test_two_items_of_one_name_are_refused():
    item = samples.document().sections[0].items[0]
    with pytest.raises(ValueError, match="names of their own"):
        Document("t", (), (), (Section("a", "A", items=(item,)), Section("b", "B", items=(item,))))
