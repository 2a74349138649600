"""The model's own answers on disk: the same as asked again, keyed by all that has a say."""

from __future__ import annotations

import sqlite3

import pytest
import torch

from goldenlayers.facts import Fact
from goldenlayers.locators import answers, old_answers
from goldenlayers.locators.answers import old_and_new
from goldenlayers.locators.find import find
from goldenlayers.locators.old_answers import NAME, OldAnswers
from tests import tiny

FACTS = [Fact(f.id, f.subject, f.prompt, f.target_new) for f in tiny.FACTS]


@pytest.fixture
def pair():
    return tiny.model("llama", torch.float64), tiny.tokenizer("llama")


@pytest.fixture
def asked(monkeypatch):
    """Every prompt that a model is asked to continue."""
    seen = []
    real = answers.greedy_continuations

    def counting(model, prompts, *args, **options):
        seen.extend(prompts)
        return real(model, prompts, *args, **options)

    monkeypatch.setattr(answers, "greedy_continuations", counting)
    return seen


def test_second_time_nothing_is_asked_and_the_pairs_are_the_same(pair, asked):
    plain = old_and_new(*pair, FACTS)
    first = old_and_new(*pair, FACTS, cache=True)
    asked.clear()
    assert old_and_new(*pair, FACTS, cache=True).pairs == first.pairs == plain.pairs
    assert asked == []
    more = [*FACTS, Fact("new", "Rome", "Rome is the home of", "Bob and Ann")]
    assert old_and_new(*pair, more, cache=True).pairs == old_and_new(*pair, more).pairs


def test_only_what_is_lacking_is_asked(pair, asked):
    old_and_new(*pair, FACTS[:2], cache=True)
    asked.clear()
    old_and_new(*pair, FACTS, cache=True)
    assert len(asked) == len(FACTS) - 2


def test_a_changed_weight_or_length_or_tokenizer_is_another_key(pair, asked):
    model, tokenizer = pair
    old_and_new(model, tokenizer, FACTS, cache=True)
    asked.clear()
    longer = [Fact(f.id, f.subject, f.prompt, f.target_new + " and then some more") for f in FACTS]
    old_and_new(model, tokenizer, longer, cache=True)
    assert len(asked) == len(FACTS)
    weight = model.get_input_embeddings().weight
    before = weight[0, 0].item()
    try:
        with torch.no_grad():
            weight[0, 0] += 1
        asked.clear()
        old_and_new(model, tokenizer, FACTS, cache=True)
        assert len(asked) == len(FACTS)
    finally:
        with torch.no_grad():
            weight[0, 0] = before


def test_find_keeps_them_with_the_result_and_can_be_told_not_to_cache(pair, asked, tmp_path):
    folder = old_answers.cache_dir()
    ranking = find(*pair, FACTS, method="lga", cache=False)
    assert not (folder / NAME).exists()
    again = find(*pair, FACTS, method="lga")
    assert (folder / NAME).exists()
    assert [a.old_ids for a in again.answers] == [a.old_ids for a in ranking.answers]
    assert all(a.old_source == "model" and a.old_ids for a in again.answers)
    asked.clear()
    assert find(*pair, FACTS, method="lga").layers == again.layers
    assert asked == []


@pytest.mark.parametrize(
    "content", [b"", b"not a database at all, but long enough to be read" * 40]
)
def test_damaged_cache_costs_a_line_and_nothing_else(pair, content):
    folder = old_answers.cache_dir()
    (folder / NAME).write_bytes(content)
    said = []
    found = old_and_new(*pair, FACTS, cache=True, say=said.append)
    assert found.pairs == old_and_new(*pair, FACTS).pairs
    assert (len(said) > 0) == bool(content)  # an empty file is an empty database
    assert all("delete it" in line and str(folder / NAME) in line for line in said)


@pytest.mark.parametrize(
    "text",
    ["", "[", "{}", "[]", "[1.5]", "[true]", '["1"]', "[-1]", "[99999999]", "[" * 5000, None],
)
def test_a_row_that_is_no_answer_is_asked_again(pair, text):
    model, tokenizer = pair
    expected = old_and_new(model, tokenizer, FACTS, cache=True).pairs
    path = old_answers.cache_dir() / NAME
    with sqlite3.connect(path) as database:
        database.execute("UPDATE answers SET ids = ?", ("7" * 400 if text is None else text,))
    assert old_and_new(model, tokenizer, FACTS, cache=True).pairs == expected


def test_too_long_an_answer_is_none(pair):
    kept = OldAnswers(*pair)
    kept.keep([(1, 2)], [3], {0: (5, 6, 7)})
    assert kept.find([(1, 2), (1,)], [3, 3]) == {0: (5, 6, 7)}
    assert kept.find([(1, 2)], [2]) == {}
    with sqlite3.connect(old_answers.cache_dir() / NAME) as database:
        database.execute("UPDATE answers SET ids = '[5, 6, 7, 8]'")
    assert kept.find([(1, 2)], [3]) == {}


def test_a_folder_that_cannot_be_made_is_told(pair, tmp_path):
    (tmp_path / "file").write_text("x")
    said = []
    kept = OldAnswers(*pair, folder=tmp_path / "file" / "under", say=said.append)
    kept.keep([(1, 2)], [3], {0: (5,)})
    assert len(said) == 1
    assert kept.find([(1, 2)], [3]) == {}
