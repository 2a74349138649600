"""Every rule of the own format, one record at a time: what is accepted, and what is said if not."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldenlayers.facts import Fact, LocalityProbe, PortabilityProbe
from goldenlayers.facts.validate import RecordError, fact_from_record

FULL = {
    "id": "capital-france",
    "subject": "France",
    "prompt": "The capital of France is",
    "target_new": "Madrid",
    "target_old": "Paris",
    "aliases": ["the city of Madrid"],
    "rephrase_prompts": ["France has its capital in", "Its seat of government is"],
    "locality": {"same_subject": [{"prompt": "France is in", "answer": "a", "aliases": ["b"]}]},
    "portability": {"reasoning": [{"prompt": "Its mayor sits in", "answers": ["Madrid", "there"]}]},
    "split": "proxy",
}
MINIMAL = {name: FULL[name] for name in ("id", "subject", "prompt", "target_new")}
ALL_FIELDS = ", ".join(FULL)
WRONG_TYPES = [
    (None, "null"),
    (True, "a truth value"),
    (3, "a number"),
    (0.5, "a number"),
    ("x", "text"),
    ([], "a list"),
    ({}, "an object"),
]


def put(path, value):
    """Return the full record with the value at that path replaced."""
    record = copy.deepcopy(FULL)
    place = record
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return record


def message(record):
    with pytest.raises(RecordError) as caught:
        fact_from_record(record)
    return str(caught.value)


def test_every_field_arrives():
    assert fact_from_record(FULL) == Fact(
        id="capital-france",
        subject="France",
        prompt="The capital of France is",
        target_new="Madrid",
        target_old="Paris",
        aliases=("the city of Madrid",),
        rephrase_prompts=("France has its capital in", "Its seat of government is"),
        locality={"same_subject": (LocalityProbe("France is in", "a", ("b",)),)},
        portability={"reasoning": (PortabilityProbe("Its mayor sits in", ("Madrid", "there")),)},
        split="proxy",
    )


def test_optional_fields_may_be_left_out():
    fact = fact_from_record(MINIMAL)
    assert fact == Fact("capital-france", "France", "The capital of France is", "Madrid")
    assert (fact.target_old, fact.aliases, fact.rephrase_prompts, fact.split) == (
        None,
        (),
        (),
        None,
    )
    assert dict(fact.locality) == dict(fact.portability) == {}


@pytest.mark.parametrize("name", ["target_old", "split"])
def test_null_is_the_same_as_left_out(name):
    assert fact_from_record({**MINIMAL, name: None}) == fact_from_record(MINIMAL)


def test_a_locality_answer_may_be_missing_or_null():
    record = put(["locality", "same_subject"], [{"prompt": "a"}, {"prompt": "b", "answer": None}])
    probes = fact_from_record(record).locality["same_subject"]
    assert probes == (LocalityProbe("a", None), LocalityProbe("b", None))


@pytest.mark.parametrize(
    "text",
    [
        "  France ",  # whitespace at the ends is part of the text
        "Franc\u0327a",  # not composed into one letter by NFC
        "ﬁn",  # not taken apart by NFKC
        "a\tb\u00a0c\u2028d",
        "日本 🇯🇵",
    ],
)
def test_texts_are_kept_letter_for_letter(text):
    record = {
        "id": text,
        "subject": text,
        "prompt": f" The {text} is ",
        "target_new": text,
        "target_old": text,
        "aliases": [text],
        "rephrase_prompts": [text],
        "locality": {text: [{"prompt": text, "answer": text}]},
        "portability": {text: [{"prompt": text, "answers": [text]}]},
        "split": "test",
    }
    assert fact_from_record(record).to_record() == record


@pytest.mark.parametrize("name", MINIMAL)
def test_required_field_missing(name):
    record = {k: v for k, v in MINIMAL.items() if k != name}
    required = "required are id, subject, prompt, target_new"
    assert message(record) == f"field '{name}' is missing; {required}"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("target_nwe", "target_new"), ("Subject", "subject"), ("rephrase_prompt", "rephrase_prompts")],
)
def test_a_misspelt_field_is_told_from_a_missing_one(wrong, right):
    record = {k: v for k, v in FULL.items() if k != right} | {wrong: FULL[right]}
    assert message(record) == f"field '{wrong}' is unknown; did you mean '{right}'?"


@pytest.mark.parametrize(("name", "shown"), [("zzz", "zzz"), ("z" * 5000, "z" * 59 + "…")])
def test_unknown_field_like_no_other(name, shown):
    assert message({**FULL, name: 1}) == f"field '{shown}' is unknown; fields are {ALL_FIELDS}"


@pytest.mark.parametrize(
    ("value", "kind"), [case for case in WRONG_TYPES if case[1] != "an object"]
)
def test_record_that_is_no_object(value, kind):
    assert message(value) == (
        f"found {kind} where a record was expected; "
        'a record is a JSON object like {"id": ..., "subject": ..., "prompt": ...}'
    )


TEXTS = {
    "id": ["id"],
    "subject": ["subject"],
    "prompt": ["prompt"],
    "target_new": ["target_new"],
    "target_old": ["target_old"],
    "aliases[0]": ["aliases", 0],
    "rephrase_prompts[1]": ["rephrase_prompts", 1],
    "locality.same_subject[0].prompt": ["locality", "same_subject", 0, "prompt"],
    "locality.same_subject[0].answer": ["locality", "same_subject", 0, "answer"],
    "locality.same_subject[0].aliases[0]": ["locality", "same_subject", 0, "aliases", 0],
    "portability.reasoning[0].prompt": ["portability", "reasoning", 0, "prompt"],
    "portability.reasoning[0].answers[1]": ["portability", "reasoning", 0, "answers", 1],
}
NULL_ALLOWED = {"target_old", "locality.same_subject[0].answer"}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_must_be_text(name):
    for value, kind in WRONG_TYPES:
        if kind == "text" or (value is None and name in NULL_ALLOWED):
            continue
        assert message(put(TEXTS[name], value)) == f"field '{name}' is {kind}; expected text"


@pytest.mark.parametrize("blank", ["", "   ", "\n\t", "\u00a0\u3000"])
@pytest.mark.parametrize("name", TEXTS)
def test_texts_must_not_be_empty(name, blank):
    assert message(put(TEXTS[name], blank)) == f"field '{name}' is empty; expected text"


@pytest.mark.parametrize("name", TEXTS)
def test_texts_must_not_hold_half_a_character(name):
    # JSON can spell it as \ud800, but no tokenizer and no file takes it
    found = message(put(TEXTS[name], "a\ud800"))
    assert found == f"field '{name}' holds half a surrogate pair; not valid text"


LIST, OBJECT = "a list", "an object"
ANSWERS, ALIASES = "portability.reasoning[0].answers", "locality.same_subject[0].aliases"
STRUCTURES = {
    "aliases": (["aliases"], LIST, "a list of texts"),
    "rephrase_prompts": (["rephrase_prompts"], LIST, "a list of texts"),
    ALIASES: (["locality", "same_subject", 0, "aliases"], LIST, "a list of texts"),
    ANSWERS: (["portability", "reasoning", 0, "answers"], LIST, "a list of texts"),
    "locality": (["locality"], OBJECT, "an object of lists by kind"),
    "portability": (["portability"], OBJECT, "an object of lists by kind"),
    "locality.same_subject": (["locality", "same_subject"], LIST, LIST),
    "portability.reasoning": (["portability", "reasoning"], LIST, LIST),
    "locality.same_subject[0]": (["locality", "same_subject", 0], OBJECT, OBJECT),
    "portability.reasoning[0]": (["portability", "reasoning", 0], OBJECT, OBJECT),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_lists_and_objects_must_be_such(name):
    path, right, expected = STRUCTURES[name]
    for value, kind in WRONG_TYPES:
        if kind != right:
            found = message(put(path, value))
            assert found == f"field '{name}' is {kind}; expected {expected}"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (["locality", "same_subject", 0, "answers"], "prompt, answer, aliases"),
        (["portability", "reasoning", 0, "answer"], "prompt, answers"),
    ],
)
def test_unknown_field_of_a_probe(path, allowed):
    probes, kind, number, name = path
    found = message(put(path, "x"))
    assert found == f"field '{probes}.{kind}[{number}].{name}' is unknown; expected {allowed}"


def test_what_a_probe_needs():
    record = put(["locality", "same_subject"], [{"prompt": "a"}, {"answer": "b"}])
    assert message(record) == "field 'locality.same_subject[1].prompt' is null; expected text"
    found = message(put(["portability", "reasoning", 0, "answers"], []))
    assert found == f"field '{ANSWERS}' is empty; a probe needs at least one answer"


def test_subject_not_in_prompt():
    assert message({**FULL, "subject": "Spain"}) == (
        "field 'prompt': the subject 'Spain' is not in the prompt 'The capital of France is'; "
        "it must occur in it, letter for letter"
    )


@pytest.mark.parametrize("subject", ["france", "FRANCE"])
def test_subject_in_other_case(subject):
    assert message({**FULL, "subject": subject}) == (
        f"field 'prompt': the subject '{subject}' is not in the prompt 'The capital of France is'; "
        "it differs in upper and lower case, letter for letter"
    )


NO_SPLITS = [("train", "'train'"), ("Proxy", "'Proxy'"), ("", "''"), (1, "'1'"), ([], "a list")]


@pytest.mark.parametrize(("split", "shown"), [*NO_SPLITS, ({"proxy": 1}, "an object")])
def test_unknown_split(split, shown):
    found = message({**FULL, "split": split})
    assert found == f"field 'split' is {shown}; expected 'proxy', 'test' or null"


# field names and kinds of probes are text of the user's, too
@pytest.mark.parametrize(
    "record",
    [
        {**FULL, "\ud800": 1},
        put(["locality"], {"\ud800": [{"prompt": "a"}]}),
        put(["portability"], {"\ud800": [{"prompt": "a", "answers": ["b"]}]}),
        put(["locality", "same_subject", 0, "\ud800"], "a"),
    ],
)
def test_names_with_half_a_character_are_refused_in_a_message_that_can_be_printed(record):
    message(record).encode("utf-8")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=8)  # half characters included
    | st.sampled_from(["France", "proxy", "The capital of France is"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["prompt", "answer", "answers", "kind", "\ud800"]), inner)
    ),
    max_leaves=6,
)
paths = st.sampled_from(
    [*TEXTS.values(), *(path for path, _, _ in STRUCTURES.values()), ["split"], ["new"]]
)


@settings(max_examples=300, deadline=None)
@given(path=paths, value=json_values)
def test_any_record_is_a_fact_or_a_record_error(path, value):
    record = put(path, value)
    try:
        fact = fact_from_record(record)
    except RecordError as error:
        str(error).encode("utf-8")  # else it cannot be shown
    else:
        line = json.dumps(fact.to_record(), ensure_ascii=False).encode("utf-8")
        assert fact_from_record(json.loads(line)) == fact
