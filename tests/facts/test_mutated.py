"""Damaged records and files: a named refusal or a correct read, whatever comes.

Never another error, never a silent change of text: each text of a fact that is read is letter for
letter in what Python's own json makes of its record.
"""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldenlayers.errors import GoldenLayersError
from goldenlayers.facts import read_facts
from tests.facts.letters import DAMAGED, as_lines, as_list, decoded, strangers
from tests.facts.records import EXAMPLES, IDS, ONE_HOP

BOM = b"\xef\xbb\xbf"
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# control characters, half characters, marks that turn the text, emoji, combining, line ends
ODD = ["\x00", "\x1b[2J", "\x7f", "\ud800", "\udc80", "\u202e", "\u2066", "\u200d", "👩‍👩‍👧", "🇯🇵"]
ODD += ["e\u0301", "\u0345", "\u2028", "\u2029", "\x85", "\r", "\n", "\t", "\ufeff", "{}", "ß", "İ"]
ODD += ["\ufdd0", "\uffff", "\U0010ffff", "x" * 40_000]


def nested(depth, value="a"):
    for _ in range(depth):
        value = [value]
    return value


VALUES = st.one_of(
    st.sampled_from([None, True, False, 0, -1, 1e300, 10**30, "", " ", "\u3000", [], {}, [[]]]),
    st.sampled_from([["a", ["b", []]], {"str": "a"}, {"prompt": "a"}, {"a": [None]}, ["", None]]),
    st.sampled_from(ODD),
    st.sampled_from([nested(9), nested(11), nested(300), {"a": nested(400, {})}]),
    st.text(st.characters(exclude_categories=()), max_size=5),
)


def places(value, path=()):
    """Yield the path to every value in a record."""
    if len(path) > 8:
        return  # deep enough; some values are nested beyond the stack
    if isinstance(value, dict):
        for name in value:
            yield (*path, name)
            yield from places(value[name], (*path, name))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield (*path, i)
            yield from places(item, (*path, i))


@st.composite
def mutated(draw, record):
    """Return a record with up to three changes."""
    record = copy.deepcopy(record)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(list(places(record))))
        place = record
        for step in path:
            place = place[step]
        how = draw(st.sampled_from(["drop", "replace", "replace", "insert", "insert", "rename"]))
        old = place[last]
        if how == "drop":
            del place[last]
        elif how == "rename" and isinstance(place, dict):
            place[draw(st.sampled_from(["", "x", *ODD]))] = place.pop(last)
        elif how == "insert" and isinstance(old, str):
            at = draw(st.integers(0, len(old)))
            place[last] = old[:at] + draw(st.sampled_from(ODD)) + old[at:]
        else:
            place[last] = copy.deepcopy(draw(VALUES))  # or a change might change it
        if not record:
            break
    return record


def example(name, number):
    """Return a format's example with an identifier of its own."""
    record = copy.deepcopy(EXAMPLES[name][0])
    if name in ("zsre-mend", "counterfact", "counterfact-flat"):
        record["portability"] = ONE_HOP
    if name in IDS:
        record[IDS[name]] = f"n{number}"
    return record


def check(path, data, *, skip_bad, name):
    """Read bytes as facts; compare what comes out with what json makes of them."""
    path.write_bytes(data)
    try:
        read = read_facts(path, skip_bad=skip_bad, format=name)
    except GoldenLayersError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert refusal.isprintable()  # one line, and fit to be shown
        return None
    assert len(read) > 0
    records, whole = decoded(data)
    bad = {b.record for b in read.bad} - {None}
    if read.bad and skip_bad is None:
        assert read.format != "golden-layers"
    assert skip_bad is not False or not read.bad
    for b in read.bad:
        assert b.reason.isprintable()
    # every record before any damage is read or set aside, and nothing else is
    numbers = [n for n in range(len(records)) if n not in bad]
    assert len(numbers) == len(read)
    assert bad <= set(range(len(records)))
    assert whole or read.bad[-1].record is None
    for number, fact in zip(numbers, read, strict=True):
        record = records[number]
        assert record is not DAMAGED
        assert isinstance(record, dict)
        assert strangers(fact, record, read.format, number) == set()
    return read


@pytest.fixture(params=EXAMPLES)
def name(request):
    return request.param


SKIP = st.sampled_from([None, True, True, False])


def test_changed_records(tmp_path, name):
    good = example(name, 0), example(name, 1)

    @QUICK
    @given(
        record=mutated(example(name, 2)),
        at=st.integers(0, 2),
        skip_bad=SKIP,
        named=st.booleans(),
        escaped=st.booleans(),
        listed=st.booleans(),
    )
    def run(record, at, skip_bad, named, escaped, listed):
        texts = [json.dumps(r, ensure_ascii=escaped) for r in (*good[:at], record, *good[at:])]
        lines = [text.encode("utf-8", "surrogatepass") for text in texts]
        data = b"[" + b",\n".join(lines) + b"]" if listed else b"\n".join(lines)
        read = check(tmp_path / "f.json", data, skip_bad=skip_bad, name=name if named else None)
        if skip_bad:
            assert len(read) >= 2  # a bad record never costs another one

    run()


@pytest.mark.parametrize("form", [as_list, as_lines])
def test_duplicate_keys(tmp_path, name, form):
    record, good = example(name, 0), example(name, 1)
    for place in places(record):
        if not isinstance(place[-1], str):
            continue
        changed = copy.deepcopy(record)
        inner = changed
        for step in place[:-1]:
            inner = inner[step]
        inner["#"] = "another"
        data = form([good, changed]).replace(b'"#":', json.dumps(place[-1]).encode() + b":")
        read = check(tmp_path / "f.json", data, skip_bad=True, name=None)
        assert [b.reason for b in read.bad] == [f"field '{place[-1]}' occurs twice in the record"]


JUNK = [BOM, b"\xff\xfe", b"\x80", b"\xed\xa0\x80", b"\x00", b'"', b"\\", b"]", b"[", b"{", b"}"]
JUNK += [
    b",",
    b":",
    b"\n",
    b"\r",
    b"null",
    b"NaN",
    b"1e999",
    b"\\ud800",
    b"\xe2\x80\xa8",
    b"[" * 2000,
]


def test_damaged_bytes(tmp_path, name):
    records = [example(name, i) for i in range(3)]
    sources = [as_list(records), as_list(records, None), as_lines(records)]

    @QUICK
    @given(
        source=st.sampled_from(sources),
        at=st.integers(0, len(sources[0])),
        what=st.sampled_from(JUNK) | st.binary(max_size=5),
        cut=st.integers(0, 9),
        end=st.none() | st.integers(0, len(sources[0])),
        mark=st.sampled_from([b"", BOM]),
        skip_bad=SKIP,
        named=st.booleans(),
    )
    def run(source, at, what, cut, end, mark, skip_bad, named):
        data = mark + (source[:at] + what + source[at + cut :])[:end]
        check(tmp_path / "f.json", data, skip_bad=skip_bad, name=name if named else None)

    run()


def test_list_cut_off_at_any_byte(tmp_path, name):
    records = [example(name, 0), example(name, 1)]
    data, first = as_list(records, None), len(as_list(records[:1], None)) - 1
    second = len(data) - 1
    for end in [*range(0, len(data), 9), first, first + 1, second]:
        cut = data[:end]
        # if nothing is said a list that is cut off is an error, published or not
        assert check(tmp_path / "f.json", cut, skip_bad=None, name=name) is None
        read = check(tmp_path / "f.json", cut, skip_bad=True, name=name)
        assert (0 if read is None else len(read)) == (end >= first) + (end >= second)
        if read is not None:
            assert read.bad[-1].reason.startswith(("the file is cut off", "record 1 is not JSON"))


def test_lines_cut_off_at_any_byte(tmp_path, name):
    records = [example(name, 0), example(name, 1)]
    data, first = as_lines(records), len(as_lines(records[:1]))
    for end in [*range(0, len(data), 9), first - 1, first, first + 1, len(data) - 1]:
        read = check(tmp_path / "f.json", data[:end], skip_bad=True, name=name)
        whole = (end >= first - 1) + (end >= len(data) - 1)
        assert (0 if read is None else len(read)) == whole
        if read is not None:
            assert len(read.bad) == (first < end < len(data) - 1)
            cut = (check(tmp_path / "f.json", data[:end], skip_bad=None, name=name), read.bad)
            assert (cut[0] is None) == (len(cut[1]) > 0)  # an error, if nothing is said


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"])
def test_other_encodings_are_refused(tmp_path, name, encoding):
    records = [example(name, 0) | {"x": "Öl"}]
    for data in (as_list(records), as_lines(records)):
        text = data.decode("utf-8").encode(encoding, "replace")
        for skip_bad in (None, True):
            assert check(tmp_path / "f.json", text, skip_bad=skip_bad, name=name) is None
