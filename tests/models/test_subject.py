"""Where a subject stands: by characters, on three kinds of tokenizer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldenlayers.errors import FactError, SettingsError
from goldenlayers.models.subject import subject_end, subject_rows
from goldenlayers.models.text import encode_pairs
from tests import tiny

CASES = [
    # prompt, subject, answer
    ("The capital of Norland is", "Norland", "Bergstad"),
    ("Norland has as its capital", "Norland", "Bergstad"),  # starts the prompt
    ("They went to Norland", "Norland", "Bergstad"),  # ends it
    ("The game Tarnish! was made by", "Tarnish!", "Blue Kite"),  # ends in punctuation
    ("M. O'Neil's instrument is the", "M. O'Neil", "violin"),  # an apostrophe follows
    ("In Süd-Öland, people speak", "Süd-Öland", "Danish"),  # bytes; a comma follows
    ("Korvo is old. The coin of Korvo is the", "Korvo", "crown"),  # twice
    ("The town (Vell) has a plan of", "Vell", "m"),
    ("The  double  space Korvo  is", "Korvo", "crown"),
]


def by_decoding(tokenizer, text, end):
    """The token in which the character before `end` lies, by decoding growing prefixes."""
    encoded = tokenizer(text, return_offsets_mapping=True)
    last = None
    for i, (a, b) in enumerate(encoded["offset_mapping"]):
        if a < end <= b:
            last = i
    return last


@pytest.mark.parametrize("kind", tiny.TOKENIZERS)
@pytest.mark.parametrize(("prompt", "subject", "answer"), CASES)
def test_the_last_token_of_the_subject(kind, prompt, subject, answer):
    tokenizer = tiny.TOKENIZERS[kind]()
    prefixes = ["", "Blue Kite. ", f"{subject} again. "]
    rows = subject_rows(tokenizer, prefixes, prompt, subject, answer)
    for prefix, row in zip(prefixes, rows, strict=True):
        text = f"{prefix}{prompt} {answer}"
        end = len(prefix) + prompt.rindex(subject) + len(subject)
        assert row.subject == by_decoding(tokenizer, text, end)
        assert row.subject < row.n_prompt < len(row.ids)
        plain = encode_pairs(tokenizer, [(prefix + prompt, answer)])[0]
        assert (row.ids, row.n_prompt) == (plain.ids, plain.n_prompt)
        # what comes up to the token holds the whole subject, what comes before it does not
        upto = tokenizer.decode(row.ids[: row.subject + 1], skip_special_tokens=True)
        before = tokenizer.decode(row.ids[: row.subject], skip_special_tokens=True)
        if kind != "unigram" and "Ö" not in subject:
            assert (prefix + prompt[: prompt.rindex(subject)] + subject) in upto
            assert (prefix + prompt[: prompt.rindex(subject)] + subject) not in before


@pytest.mark.parametrize("kind", tiny.TOKENIZERS)
def test_a_prompt_alone(kind):
    tokenizer = tiny.TOKENIZERS[kind]()
    (row,) = subject_rows(tokenizer, [""], "Norland is a ", "Norland", None)
    assert row.answer == ()
    assert row.n_prompt == len(row.ids)
    assert row.subject < len(row.ids) - 1


def test_a_beginning_token_moves_the_subject_by_one():
    text = ("Norland is", "Norland", "old")
    with_begin = subject_rows(tiny.metaspace_bpe(), [""], *text)[0]
    assert with_begin.ids[0] == tiny.metaspace_bpe().bos_token_id
    assert with_begin.subject >= 1


@pytest.mark.parametrize(
    ("prompt", "subject", "last", "first"),
    [
        ("Ann met Anna", "Ann", 3, 3),  # not the one inside Anna
        ("Korvo and Korvo", "Korvo", 15, 5),
        ("xKorvo", "Korvo", 6, 6),  # no whole word: the exact letters will do
        ("A-B and A-B.", "A-B", 11, 3),
        ("aaa", "aa", 3, 2),  # overlapping
        ("What is C++?", "C++", 11, 11),
        ("Iran, not Iranian", "Iran", 4, 4),
    ],
)
def test_which_occurrence(prompt, subject, last, first):
    assert subject_end(prompt, subject) == last
    assert subject_end(prompt, subject, "first") == first


@given(st.text(max_size=12), st.text("ab ", min_size=1, max_size=4), st.text(max_size=12))
@settings(max_examples=200, deadline=None)
def test_the_end_is_always_the_end_of_an_exact_occurrence(before, subject, after):
    wanted = subject.strip()
    if not wanted:
        return
    prompt = before + subject + after
    for which in ("last", "first"):
        end = subject_end(prompt, subject, which)
        assert prompt[end - len(wanted) : end] == wanted


def test_what_is_refused():
    with pytest.raises(FactError, match="'Norland' is not in the prompt 'The capital'"):
        subject_rows(tiny.byte_level_bpe(), [""], "The capital", "Norland", "x")
    with pytest.raises(FactError, match="is not in the prompt"):
        subject_end("The capital", "  ")
    with pytest.raises(SettingsError, match="occurrence 'middle'"):
        subject_end("Norland", "Norland", "middle")
