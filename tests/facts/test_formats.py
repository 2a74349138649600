"""The published formats: recognised, read field by field, refused with a reason, and noted."""

from __future__ import annotations

import copy

import pytest

from goldenlayers.errors import FactError, SettingsError
from goldenlayers.facts import Note, PortabilityProbe, read_facts
from goldenlayers.facts.formats import FORMATS, find_format
from tests.facts.letters import as_lines, as_list, strangers
from tests.facts.records import EXAMPLES, IDS, ONE_HOP

KNOWEDIT = ["zsre", "wiki-counterfact", "wiki-recent"]
PUBLISHED = [name for name in EXAMPLES if name != "golden-layers"]
# By format: where its prompt, subject, new answer and old answer stand.
PLACES = {
    "golden-layers": ("prompt", "subject", "target_new", "target_old"),
    "zsre": ("prompt", "subject", "target_new", "ground_truth"),
    "wiki-counterfact": ("prompt", "subject", "target_new", "ground_truth"),
    "wiki-recent": ("prompt", "subject", "target_new", None),
    "wikibio": ("text", "concept", "labels", None),
    "zsre-mend": ("src", "subject", "alt", "answers"),
    "counterfact-flat": ("prompt", "subject", "target_new", "ground_truth"),
    "known-facts": ("prompt", "subject", "attribute", None),
}
LISTS = [name for name in PLACES if name != "golden-layers"]  # answers may be lists
UNUSED = {
    "zsre": {"cond"},
    "zsre-mend": {"pred", "cond"},
    "counterfact": {"pararel_idx", "attribute_prompts", "generation_prompts"},
    "known-facts": {"template", "prediction", "relation_id"},
}
FIELD = [(fmt.name, field) for fmt in FORMATS for field in fmt.required]


@pytest.fixture
def write(tmp_path):
    def write(*records, name="facts.json"):
        path = tmp_path / name
        path.write_bytes(as_lines(records) if name.endswith("l") else as_list(list(records)))
        return path

    return write


def numbered(name, count=3):
    """Return copies of a format's example that differ in their identifiers."""
    copies = [copy.deepcopy(EXAMPLES[name][0]) for _ in range(count)]
    for number, record in enumerate(copies):
        if name in IDS:
            record[IDS[name]] = f"{number}" if name == "golden-layers" else number
    return copies


def change(name, **fields):
    """Return a format's example with other fields; None takes a field away."""
    return {k: v for k, v in (EXAMPLES[name][0] | fields).items() if v is not ...}


def reason(write, record, name):
    """Return why a record is set aside, beside a good one."""
    other = change(name, **({IDS[name]: "other"} if name in IDS else {}))
    read = read_facts(write(record, other), format=name, skip_bad=True)
    assert (len(read), len(read.bad), read.bad[0].record) == (1, 1, 0)
    return read.bad[0].reason


def first(write, record, name=None):
    read = read_facts(write(record), format=name)
    return read[0], [n.text for n in read.notes]


def test_there_is_an_example_of_every_format():
    assert set(EXAMPLES) == {fmt.name for fmt in FORMATS}
    assert {*PLACES, "counterfact"} == set(EXAMPLES)


@pytest.mark.parametrize("file", ["facts.json", "facts.jsonl"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_recognised_and_read_field_by_field(write, tmp_path, name, file):
    record, fact = EXAMPLES[name]
    read = read_facts(write(record, name=file))
    assert (read.format, read.facts, read.bad, read.notes) == (name, (fact,), (), ())
    assert strangers(fact, record, name, 0) == set()
    assert dict(read.unused) == dict.fromkeys(UNUSED.get(name, set()), 1)
    assert read.origin()["format"] == name
    assert fact.changes == (name != "known-facts")
    assert read_facts(tmp_path / file, format=f" {name.upper()} ").facts == (fact,)


@pytest.mark.parametrize("name", PUBLISHED)
def test_records_are_numbered_from_0_and_unused_fields_counted(write, name):
    read = read_facts(write(*numbered(name)))
    expected = [str(i) if name in IDS else f"{name}-{i}" for i in range(3)]
    assert [f.id for f in read] == expected
    assert dict(read.unused) == dict.fromkeys(UNUSED.get(name, set()), 3)


def test_another_format_may_be_named(write):
    # a WikiCounterfact record has all that a WikiRecent record needs
    read = read_facts(write(EXAMPLES["wiki-counterfact"][0]), format="wiki-recent")
    assert (read.format, read[0].id, read[0].target_old) == (
        "wiki-recent",
        "wiki-recent-0",
        "Mar Verde",
    )
    with pytest.raises(SettingsError) as unknown:
        read_facts(write(EXAMPLES["zsre"][0]), format="squad")
    assert str(unknown.value) == "format 'squad' is unknown; expected one of " + ", ".join(
        fmt.name for fmt in FORMATS
    )


def test_format_that_is_not_known(write):
    path = write({"question": "?", "\u202ex\n" + "y" * 99: 1})
    with pytest.raises(FactError) as caught:
        read_facts(path)
    found = str(caught.value)
    assert found.startswith(
        f"{path}: its format is not known. Its first record has the fields question, \\u202ex\\n"
        f"{'y' * 56}…; expected those of one of golden-layers (id, subject, prompt, target_new); "
    )
    assert [
        fmt.name for fmt in FORMATS if f"{fmt.name} ({', '.join(fmt.required)})" not in found
    ] == []
    assert found.endswith(". --format NAME reads it as one of these and says what is amiss")


def test_in_a_mixed_file_the_most_decide_and_the_others_are_set_aside(write):
    few, many = EXAMPLES["known-facts"][0], numbered("zsre-mend", 2)
    read = read_facts(write(few, *many, 3))
    assert (read.format, [f.id for f in read]) == ("zsre-mend", ["zsre-mend-1", "zsre-mend-2"])
    assert [(b.record, b.reason) for b in read.bad] == [
        (0, "field 'src' is missing; required are subject, src, alt, answers"),
        (
            3,
            "found a number where a record was expected; a record is a JSON object like "
            '{"id": ..., "subject": ..., "prompt": ...}',
        ),
    ]


@pytest.mark.parametrize("skip_bad", [None, True, False])
def test_bad_records_of_published_files_are_set_aside_if_nothing_is_said(write, skip_bad):
    good, bad = EXAMPLES["wikibio"][0], change("wikibio", concept=3)
    path = write(good, bad)
    if skip_bad is False:
        with pytest.raises(FactError, match=r"field 'concept' is a number; expected text"):
            read_facts(path, skip_bad=skip_bad)
    else:
        assert len(read_facts(path, skip_bad=skip_bad).bad) == 1


@pytest.mark.parametrize(("name", "field"), FIELD)
def test_missing_field(write, name, field):
    listed = ", ".join(find_format(name).required)
    found = reason(write, change(name, **{field: ...}), name)
    assert found == f"field '{field}' is missing; required are {listed}"


@pytest.mark.parametrize("name", PLACES)
def test_prompt_and_subject_must_be_text(write, name):
    prompt, subject = PLACES[name][:2]
    for field in (prompt, subject):
        for value, what in [(None, "null"), (1, "a number"), ({}, "an object"), ([], "a list")]:
            found = reason(write, change(name, **{field: value}), name)
            assert found == f"field '{field}' is {what}; expected text"
        found = reason(write, change(name, **{field: " \n"}), name)
        assert found == f"field '{field}' is empty; expected text"


@pytest.mark.parametrize("name", LISTS)
def test_answers_as_text_list_and_lists_of_aliases(write, name):
    _, _, new, old = PLACES[name]
    shapes = ["a", ["a"], ["", "a", "b", "a"], [[], ["a", " "], [["b"]]]]
    for value in shapes:
        fact, notes = first(write, change(name, **{new: value}), name)
        assert (fact.target_new, fact.aliases, notes) == ("a", ("b",) if len(value) > 2 else (), [])
        if old is not None:
            assert first(write, change(name, **{old: value}), name)[0].target_old == "a"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([], "' is an empty answer list; expected an answer"),
        ([[], []], "' is an empty answer list; expected an answer"),
        ("  ", "': nothing is left of its answers but blanks"),
        (["", [" \u3000"]], "': nothing is left of its answers but blanks"),
        (None, "' is null; expected an answer"),
        (True, "' is a truth value; expected text, or a list of answers"),
        ({"a": 1}, "' is an object; expected text, or a list of answers"),
        (["a", ["b", 3]], "[1][1]' is a number; expected text, or a list of answers"),
        ("\x1b[2J\x00", None),  # text it is, and kept
    ],
)
@pytest.mark.parametrize("name", LISTS)
def test_answers_that_are_none(write, name, value, why):
    for field in filter(None, PLACES[name][2:]):
        record = change(name, **{field: value})
        if why is None:
            fact = first(write, record, name)[0]
            assert value in (fact.target_new, fact.target_old)
        else:
            assert reason(write, record, name) == f"field '{field}{why}"


def test_lists_within_lists_have_an_end(write):
    deep = "a"
    for _ in range(700):  # more than Python's stack holds calls for
        deep = [deep]
    found = reason(write, change("zsre", target_new=deep), "zsre")
    assert found == f"field 'target_new{'[0]' * 10}': more than 10 lists within lists"


@pytest.mark.parametrize("name", LISTS)
def test_subject_that_is_not_in_the_prompt(write, name):
    prompt, subject = PLACES[name][:2]
    found = reason(write, change(name, **{subject: "Nobody", prompt: "Who\u2028is it"}), name)
    assert found == (
        "the subject 'Nobody' is not in the prompt 'Who\\u2028is it', and an edit needs to know "
        "where it stands"
    )


@pytest.mark.parametrize("name", LISTS)
def test_subject_spelled_otherwise_is_taken_as_the_prompt_has_it(write, name):
    prompt, subject = PLACES[name][:2]
    fact, notes = first(write, change(name, **{subject: " RICK öl", prompt: "Is Rick Öl in"}), name)
    assert (fact.subject, fact.prompt) == ("Rick Öl", "Is Rick Öl in")
    assert notes == ["the subject ' RICK öl' is taken as the prompt has it, 'Rick Öl'"]


def test_subject_that_is_there_as_it_is_needs_no_note(write):
    # lower case first, as WikiBio has it: the name as usual behind is another spelling
    fact, notes = first(write, change("wikibio", text="About ed. Ed. ed", concept="Ed"))
    assert (fact.subject, notes) == ("Ed", [])
    read = read_facts(write(change("wikibio", text="About Ed.", concept="ed")))
    assert read.notes == (
        Note("wikibio-0", "the subject 'ed' is taken as the prompt has it, 'Ed'"),
    )


@pytest.mark.parametrize("name", [*KNOWEDIT, "wikibio"])
def test_probes_that_cannot_be_asked_are_left_out_with_a_note(write, name):
    probes = [
        {"prompt": "p", "ground_truth": []},
        {"prompt": " ", "ground_truth": "a"},
        {"prompt": "q"},
        {"prompt": "r", "ground_truth": [["a"], "b"]},
    ]
    record = change(name, locality={}, portability={"Hop": probes, "None": [probes[0]]})
    fact, notes = first(write, record, name)
    assert fact.portability == {"Hop": (PortabilityProbe("r", ("a", "b")),)}
    assert notes == [
        "'portability.Hop[0]' has no answer and is left out",
        "'portability.Hop[1]' has a blank prompt and is left out",
        "'portability.Hop[2]' has no answer and is left out",
        "'portability.None[0]' has no answer and is left out",
    ]


@pytest.mark.parametrize("field", ["locality", "portability"])
@pytest.mark.parametrize("name", [*KNOWEDIT, "wikibio"])
def test_probes_of_wrong_types(write, name, field):
    cases = [
        ([], f"field '{field}' is a list; expected lists of probes by kind"),
        ({"K": "x"}, f"field '{field}.K' is text; expected a list of probes"),
        ({" ": []}, f"field '{field}. ' is empty; expected text"),
        ({"K": ["x"]}, f"field '{field}.K[0]' is text; expected a prompt and an answer"),
        ({"K": [{}]}, f"field '{field}.K[0].prompt' is null; expected text"),
        (
            {"K": [{"prompt": "p", "ground_truth": 4}]},
            f"field '{field}.K[0].ground_truth' is a number; expected text, or a list of answers",
        ),
    ]
    for value, why in cases:
        assert reason(write, change(name, **{field: value}), name) == why.replace("\n", "\\n")
    fact, notes = first(write, change(name, **{field: None}), name)
    assert (dict(getattr(fact, field)), notes) == ({}, [])


@pytest.mark.parametrize("name", ["zsre-mend", "counterfact", "counterfact-flat"])
def test_one_hop_portability_that_easyedit_added(write, name):
    fact, notes = first(write, change(name, portability=ONE_HOP))
    probe = PortabilityProbe(ONE_HOP["New Question"], ("the Third Foot",))
    assert (fact.portability, notes) == ({"New Question": (probe,)}, [])
    for empty in (None, {}):
        assert dict(first(write, change(name, portability=empty))[0].portability) == {}
    for field, what in [("New Question", "blank"), ("New Answer", "empty")]:
        fact, notes = first(write, change(name, portability=ONE_HOP | {field: " "}))
        assert dict(fact.portability) == {}
        assert notes == [f"'portability.{field}' is {what}, and the question is left out"]
    found = reason(write, change(name, portability={"New Question": "q"}), name)
    assert found.startswith("field 'New Answer' is missing; required are New Question, New Answer")
    found = reason(write, change(name, portability=[]), name)
    assert found == "field 'portability' is a list; expected an object"
