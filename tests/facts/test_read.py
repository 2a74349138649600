"""Facts files: the formats, damaged files, where a message points, and sets of facts."""

from __future__ import annotations

import csv
import hashlib
import io
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from goldenlayers.errors import FactError
from goldenlayers.facts import BadRecord, Fact, LocalityProbe, PortabilityProbe, read_facts

HINT = " (--skip-bad goes on without such records)"
HEADER = "id,subject,prompt,target_new"
NO_ANSWER = "field 'target_new' is missing; required are id, subject, prompt, target_new"


def record(fact_id="1", **more):
    return {"id": fact_id, "subject": "Rome", "prompt": "Rome lies in", "target_new": "Asia"} | more


def row(fact_id="1"):
    return f"{fact_id},Rome,Rome lies in,Asia"


GOOD = json.dumps(record())
BAD = json.dumps({k: v for k, v in record("bad").items() if k != "target_new"})


@pytest.fixture
def write(tmp_path):
    def write(content, name="facts.jsonl"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write


def message(path, **options):
    with pytest.raises(FactError) as caught:
        read_facts(path, **options)
    return str(caught.value)


def ids(facts):
    return [f.id for f in facts]


NEAR = {"kind": (LocalityProbe("d", None), LocalityProbe("e", "f")), "none": ()}
FAR = {"other": (PortabilityProbe("g", ("h", "i")),)}
TEXTS = (" id,1 ", "Köln\u2028", 'Wo liegt "Köln\u2028"?\n', "ﬁn\u0327", "日本 🇯🇵")
RICH = Fact(*TEXTS, ("a", "b"), ("c",), NEAR, FAR, "test")


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".JSONL"])
def test_json_lines_round_trip(write, suffix, ascii_only):
    facts = (RICH, Fact("2", "Rome", "Rome lies in", "Asia"))
    lines = [json.dumps(f.to_record(), ensure_ascii=ascii_only) + "\n" for f in facts]
    path = write("".join(lines), f"facts{suffix}")
    read = read_facts(str(path))
    assert (read.facts, read.source, read.bad) == (facts, str(path), ())


def test_csv_round_trip(write):
    facts = (
        Fact("1", "Rome", " Rome, said to lie\nin ", 'the "old" Asia', "Ölland", split="proxy"),
        Fact("2", "ﬁn", "Where ﬁn is", "Asia"),
    )
    table = csv.writer(out := io.StringIO())
    table.writerow(["split", "target_old", "target_new", "prompt", "subject", "id"])  # any order
    for f in facts:
        table.writerow([f.split, f.target_old, f.target_new, f.prompt, f.subject, f.id])
    assert read_facts(write(out.getvalue(), "facts.csv")).facts == facts
    path = write(f"{HEADER},target_old,split\n{row()}, ,\n", "facts.csv")  # empty, if optional
    assert read_facts(path)[0] == Fact("1", "Rome", "Rome lies in", "Asia")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("at_the_end", [True, False])
def test_byte_order_mark_line_ends_and_blank_lines(write, newline, mark, at_the_end):
    last = newline if at_the_end else ""
    lines = mark + newline.join([GOOD, "", "   ", json.dumps(record("2")), BAD]) + last
    read = read_facts(write(lines), skip_bad=True)
    assert (ids(read), read.bad) == (["1", "2"], (BadRecord(5, NO_ANSWER),))
    lines = mark + newline.join([HEADER, row(), "", " , , , ", row("2"), "bad,Rome"]) + last
    read = read_facts(write(lines, "facts.csv"), skip_bad=True)
    assert ids(read) == ["1", "2"]
    assert read.bad == (BadRecord(6, "2 cells in a row of 4 columns"),)


def test_digest_is_of_the_bytes_of_the_file(write):
    content = b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n\r\n"
    assert read_facts(write(content)).sha256 == hashlib.sha256(content).hexdigest()


def test_first_bad_record_is_an_error_that_begins_with_file_and_line(write):
    path = write(f"{GOOD}\n\n{BAD}\n[]\n")
    assert message(path) == f"{path}:3: {NO_ANSWER}{HINT}"


def test_skip_bad_sets_aside_and_says_why(write):
    read = read_facts(write(f"{BAD}\n{GOOD}\n\n{{\n{json.dumps(record('2'))}\n"), skip_bad=True)
    assert (ids(read), [b.line for b in read.bad]) == (["1", "2"], [1, 4])
    assert read.bad[0].reason == NO_ANSWER
    assert read.bad[1].reason.startswith("not JSON (")


def test_nothing_but_bad_records(write):
    path = write(f"{BAD}\n[]\n")
    why = f"no facts in it; all 2 records are bad, the first: {NO_ANSWER}"
    assert message(path, skip_bad=True) == f"{path}: {why}"


def test_duplicate_id_names_both_lines(write):
    path = write(f"{GOOD}\n{json.dumps(record('2'))}\n{GOOD}\n")
    assert message(path) == f"{path}:3: field 'id': '1' was used before, in line 1{HINT}"
    read = read_facts(path, skip_bad=True)
    assert (ids(read), [b.line for b in read.bad]) == (["1", "2"], [3])


def test_a_bad_record_does_not_use_up_its_id(write):
    path = write(BAD.replace('"bad"', '"1"') + f"\n{GOOD}\n")
    assert ids(read_facts(path, skip_bad=True)) == ["1"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "1", "id": "2"}', "field 'id' occurs twice in the record"),
        ('{"locality": {"a": [], "a": []}}', "field 'a' occurs twice in the record"),
        ('{"id": NaN}', "NaN is not JSON"),
        ('{"id": Infinity}', "Infinity is not JSON"),
        ('{"id": [-Infinity]}', "-Infinity is not JSON"),
        ("[" * 100_000, "brackets are nested too deeply to be a record"),
        (b'{"id": "\xe9"}', "not UTF-8 text (byte 8 of the line); save it as UTF-8"),
        ('"id"', "found text where a record was expected; a record is a JSON object like "),
        (f"[{GOOD}]", "found a list where a record was expected; a record is a JSON object like "),
        (json.dumps(record(subject="\ud800")), "field 'subject' holds half a surrogate pair"),
    ],
)
def test_bad_line_of_json(write, line, reason):
    line = line if isinstance(line, bytes) else line.encode()
    path = write(GOOD.encode() + b"\n" + line + b"\n" + json.dumps(record("2")).encode())
    assert message(path).startswith(f"{path}:2: {reason}")
    read = read_facts(path, skip_bad=True)
    assert (ids(read), [b.line for b in read.bad]) == (["1", "2"], [2])


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("content", [HEADER + "\n" + row(), "{", json.dumps(record(), indent=1)])
def test_file_that_is_no_json_at_all(write, content, suffix):
    path, first = write(content, f"facts{suffix}"), content.split("\n")[0]
    assert message(path).startswith(f"{path}:1: not JSON (")
    assert (
        f"found {first!r}, expected one JSON object a line, or one list of objects in the file"
        in message(path)
    )


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("indent", [None, 1])
def test_one_list_in_a_file(write, indent, suffix):
    records = [record(), {"id": "x"}, record("2")]
    path = write(json.dumps(records, indent=indent), f"facts{suffix}")
    line = 1 if indent is None else 8
    missing = "field 'subject' is missing; required are id, subject, prompt, target_new"
    assert message(path) == f"{path}:{line}: {missing}{HINT}"
    read = read_facts(path, skip_bad=True)
    assert (ids(read), read.bad, read.bad[0].record) == (["1", "2"], (BadRecord(line, missing),), 1)


@pytest.mark.parametrize("name", ["facts.jsonl", "facts.csv"])
@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n", GOOD.encode("utf-16"), b"\x00\xff" * 99])
def test_binary_file(write, name, content):
    path = write(content, name)
    assert message(path).startswith(f"{path}:1: not UTF-8 text")


WRONG_HEADERS = ["id,subject,prompt", f"{HEADER},aliases", f"{HEADER},id", "id;subject", row()]


@pytest.mark.parametrize("header", WRONG_HEADERS)
def test_csv_with_a_wrong_header(write, header):
    path = write(f"{header}\n{row()}\n", "facts.csv")
    assert message(path).startswith(
        f"{path}:1: the header row is '{header}'; expected the columns id, subject, prompt, "
        "target_new, target_old, split (the last two may be left out), each once"
    )


@pytest.mark.parametrize(("cells", "n"), [("2,Rome,Rome lies in", 3), (row("2") + ",x", 5)])
def test_csv_ragged_row(write, cells, n):
    path = write(f"{HEADER}\n{row()}\n{cells}\n", "facts.csv")
    assert message(path) == f"{path}:3: {n} cells in a row of 4 columns{HINT}"


def test_csv_line_numbers_with_quoted_newlines(write):
    spanning = '1,Rome,"Rome\nlies\nin",Asia'  # lines 2 to 4
    path = write(f"{HEADER}\n{spanning}\n\n{row('2')}\n1,x\n", "facts.csv")
    assert message(path).startswith(f"{path}:7: 2 cells")
    path = write(f"{HEADER}\n{spanning}\n\n{spanning}\n", "facts.csv")
    assert message(path) == f"{path}:6: field 'id': '1' was used before, in line 2{HINT}"
    path = write(f'{HEADER}\n{row()}\n"2,never,closed\n{row("3")}\n', "facts.csv")
    assert message(path).startswith(f"{path}:3: not CSV (")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'"2"x,Rome,Rome lies in,Asia', "not CSV ("),
        (b"2,Rome,Rome lies in," + b"x" * 200_000, "not CSV ("),  # beyond csv's field limit
        (b"2,Rome,Rome lies in,\xe9", "not UTF-8 text"),
    ],
)
def test_csv_damaged_row_costs_that_row_alone(write, line, reason):
    path = write(f"{HEADER}\n{row()}\n".encode() + line + f"\n{row('3')}\n".encode(), "facts.csv")
    assert message(path).startswith(f"{path}:3: {reason}")
    read = read_facts(path, skip_bad=True)
    assert (ids(read), [b.line for b in read.bad]) == (["1", "3"], [3])


def test_what_is_no_file(tmp_path):
    (tmp_path / "folder.jsonl").mkdir()
    for name, what in [("none.jsonl", "no such file"), ("folder.jsonl", "not a file")]:
        path = tmp_path / name
        assert message(path) == f"{path}: {what}; expected a facts file (.json, .jsonl or .csv)"
    path = tmp_path / ("x" * 5000 + ".jsonl")  # longer than a file system takes
    assert message(path).startswith(f"{path}: ")


@pytest.mark.parametrize(("name", "suffix"), [("facts.txt", ".txt"), ("facts", "")])
def test_wrong_suffix(write, name, suffix):
    path = write(GOOD, name)
    assert message(path) == (
        f"{path}: the name ends in '{suffix}'; expected one of .jsonl, .ndjson, .json, "
        ".csv (JSON: a list of objects, or one object a line; CSV: one fact a row)"
    )


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
@pytest.mark.parametrize(("name", "header"), [("a.jsonl", ""), ("a.csv", HEADER)])
def test_file_without_a_record(write, name, header, content):
    path = write((content + header) if content == "\ufeff" else header + content, name)
    assert message(path) == f"{path}: no facts in it"


def damaged(content):
    """Return arbitrary bytes, and the content with arbitrary bytes put in somewhere."""
    inserted = st.builds(
        lambda at, what, cut: content[:at] + what + content[at + cut :],
        st.integers(0, len(content)),
        st.binary(max_size=6) | st.sampled_from([b'"', b"\n", b"\\", b"[", b"\xff", b"\x00", b","]),
        st.integers(0, 12),
    )
    return st.binary(max_size=80) | inserted


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_any_bytes_are_facts_or_a_fact_error(tmp_path, suffix):
    lines = [GOOD, json.dumps(RICH.to_record()), json.dumps(record("2"))]
    table = [HEADER, row(), '2,Rome,"Rome\nlies, in","As""ia"', row("3")]
    path, content = tmp_path / f"f{suffix}", "\n".join(table if "c" in suffix else lines).encode()

    @settings(max_examples=150, deadline=None)
    @example(data=content, skip_bad=False)
    @given(data=damaged(content), skip_bad=st.booleans())
    def check(data, skip_bad):
        path.write_bytes(data)
        try:
            read = read_facts(path, skip_bad=skip_bad)
        except FactError:
            return  # a file may be bad; any other error is a defect of ours
        assert skip_bad or not read.bad
        assert len(set(ids(read))) == len(read) > 0

    check()
