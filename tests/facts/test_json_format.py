"""The streaming reader against `json.loads`: every boundary of a chunk, damage, and memory."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldenlayers.facts import csv_format, json_format
from goldenlayers.facts.validate import DamagedFileError, RecordError

SPACE = st.text(" \t\r\n", max_size=3)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ['"', "\\", "Öl", "日本 🇯🇵", "\u2028", "\x00", "e\u0301", "]", "},{", "\ufeff"]
    )
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def listed(draw):
    """Return the bytes of a JSON list with spaces anywhere, its values, and their lines."""
    values = draw(st.lists(VALUES.filter(lambda v: not isinstance(v, list)), max_size=5))
    text = draw(SPACE) + "[" + draw(SPACE)
    lines = []
    for i, value in enumerate(values):
        text += ("," if i else "") + draw(SPACE)
        lines.append(text.count("\n") + 1)
        indent, escaped = draw(st.sampled_from([None, 1])), draw(st.booleans())
        text += json.dumps(value, indent=indent, ensure_ascii=escaped) + draw(SPACE)
    text += "]" + draw(SPACE)
    mark = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    return mark + text.encode(), values, lines


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Return a function that reads bytes with a chunk of some size."""
    path = tmp_path / "x.json"

    def read(data, chunk=1 << 20, report=json_format.ignore):
        path.write_bytes(data)
        monkeypatch.setattr(json_format, "CHUNK", chunk)
        return list(json_format.records(path, report))

    return read


def test_a_list_is_what_json_says_at_every_boundary(read):
    @settings(max_examples=250, deadline=None)
    @given(source=listed(), chunk=st.integers(1, 64))
    def check(source, chunk):
        data, values, lines = source
        assert json.loads(data.decode("utf-8-sig")) == values
        sizes = []
        found = read(data, chunk, sizes.append)
        assert found == list(zip(lines, values, strict=True))
        assert [json.dumps(v) for _, v in found] == [json.dumps(v) for v in values]  # 1 and 1.0
        assert sizes == sorted(sizes)
        assert sizes[-1] == len(data)

    check()


def test_lines_are_what_json_says(read):
    @settings(max_examples=150, deadline=None)
    @given(
        values=st.lists(VALUES.filter(lambda v: not isinstance(v, list)), min_size=1, max_size=5),
        ends=st.lists(st.sampled_from(["\n", "\r\n", "\n\n", "\n \t\n"]), min_size=5, max_size=5),
        chunk=st.integers(1, 64),
    )
    def check(values, ends, chunk):
        text, lines = "", []
        for value, end in zip(values, ends, strict=False):
            lines.append(text.count("\n") + 1)
            text += json.dumps(value, ensure_ascii=False) + end
        sizes = []
        assert read(text.encode(), chunk, sizes.append) == list(zip(lines, values, strict=True))
        assert sizes == sorted(sizes)
        assert sizes[-1] == len(text.encode())

    check()


RECORDS = [{"a": "Öl 🇯🇵", "b": [1, -2.5e-3, True, None]}, {"c": {"d": ["]", '"}']}}, {"e": "\\u"}]


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_a_list_cut_off_at_any_byte(read, chunk):
    data = json.dumps(RECORDS, ensure_ascii=False).encode()
    ends = []  # of each record, in bytes
    for n in range(1, len(RECORDS) + 1):
        ends.append(len(json.dumps(RECORDS[:n], ensure_ascii=False).encode()) - 1)
    for cut in range(1, len(data)):
        *found, last = read(data[:cut], chunk)
        assert [v for _, v in found] == RECORDS[: sum(end <= cut for end in ends)]
        assert isinstance(last[1], DamagedFileError)
        # a bracket within a text looks like the list's end: then the text has no end
        why = "record 1 is not JSON (Unterm" if data[:cut].endswith(b"]") else "the file is cut off"
        assert str(last[1]).startswith((why, "the file is cut off"))


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ('[{"a": 1}\n{"a": 2}]', 2, "found '{' after record 0; expected a comma or the list's end"),
        ('[{"a": 1},\n]', 2, "record 1 is not JSON (Expecting value), and the list cannot be read"),
        ('[{"a": 1},\n{"a" 2}]', 2, "record 1 is not JSON (Expecting ':' delimiter), and"),
        ('[{"a": 1},\n{"a": 2]', 2, "record 1 is not JSON (Expecting ',' delimiter), and the"),
        ('[{"a": 1}]\n\n x', 3, "there is text behind the list's end"),
        ('[{"a": 1},\n{"a": "\x01"}]', 2, "record 1 is not JSON (Invalid control character at)"),
        ('[{"a": 1},\n' + "[" * 9000, 2, "record 1: brackets are nested too deeply"),
        ('[{"a": 1},\n' + "9" * 5000 + "]", 2, "record 1 is not JSON (Exceeds the limit"),
    ],
)
def test_a_list_that_is_damaged(read, text, line, why, chunk):
    first, (found_line, error) = read(text.encode(), chunk)
    assert (first, found_line) == ((1, {"a": 1}), line)
    assert isinstance(error, DamagedFileError)
    assert str(error).startswith(why)


@pytest.mark.parametrize(
    ("element", "why"),
    [
        ('{"a": 1, "a": 1}', "field 'a' occurs twice in the record"),
        ('{"x": {"\\ud800": 1, "\\ud800": 2}}', "field '\\ud800' occurs twice in the record"),
        ('{"a": [NaN]}', "NaN is not JSON"),
        ("-Infinity", "-Infinity is not JSON"),
        (b'{"a": "\xff\xfe"}', "not UTF-8 text; save the file as UTF-8"),
        (b'{"\xed\xa0\x80": 1}', "not UTF-8 text; save the file as UTF-8"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
def test_a_bad_element_costs_itself_alone(read, element, why, chunk):
    element = element if isinstance(element, bytes) else element.encode()
    found = read(b'[{"a": 1},\n' + element + b',\n{"a": 2}]', chunk)
    assert [(line, v) for line, v in found if line != 2] == [(1, {"a": 1}), (3, {"a": 2})]
    error = found[1][1]
    assert (type(error), str(error)) == (RecordError, why)


@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_what_is_a_list_and_what_is_lines(read, chunk):
    assert read(b"[]", chunk) == read(b" [ \n ] ", chunk) == read(b"", chunk) == []
    (first,) = read(b"\xef\xbb\xbf\n [" + b" " * 99, chunk)
    assert (first[0], str(first[1])) == (2, "the file is cut off in record 0")
    assert read(b'[[{"a": 1}]]', chunk) == [(1, [[{"a": 1}]])]  # a line, and no record
    (first,) = read(b'\x0c[{"a": 1}]', chunk)  # no space of JSON's
    assert str(first[1]).startswith("not JSON (Expecting value")


@pytest.mark.parametrize("form", ["list", "lines"])
def test_a_record_without_an_end_is_not_read_to_it(read, monkeypatch, form):
    monkeypatch.setattr(json_format, "LONGEST", 1 << 20)
    start = b'[{"a": 1},\n{"a": "' if form == "list" else b'{"a": 1}\n{"a": "'
    found = read(start + b"x" * (6 << 20), 1 << 16)
    assert found[0] == (1, {"a": 1})
    assert found[1][0] == 2
    assert isinstance(found[1][1], DamagedFileError)
    assert (
        "longer than 1 MB" in str(found[1][1])
        if form == "list"
        else "over 1 MB" in str(found[1][1])
    )


@pytest.mark.parametrize("form", ["list", "lines", "csv"])
def test_memory_does_not_grow_with_the_file(tmp_path, form):
    path, count = tmp_path / "big", 30_000
    text = json.dumps({"id": "1", "subject": "Öl", "text": "Öl fließt ölig. " * 60})
    with path.open("w", encoding="utf-8") as file:
        if form == "csv":
            file.write("id,subject,prompt,target_new\n")
            file.writelines(f"{i},Öl,{'Öl fließt ölig. ' * 60},x\n" for i in range(count))
        else:
            between = "," if form == "list" else "\n"
            file.write("[" if form == "list" else "")
            file.writelines((between if i else "") + text for i in range(count))
            file.write("]" if form == "list" else "")
    size = path.stat().st_size
    assert size > 28_000_000
    done = []
    records = csv_format.records if form == "csv" else json_format.records
    tracemalloc.start()
    try:
        found = sum(isinstance(v, dict) for _, v in records(path, done.append))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == count
    assert peak < 8_000_000
    assert done == sorted(done)
    assert done[-1] == size
    assert len(set(done)) > 10
