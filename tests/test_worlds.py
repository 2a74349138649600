"""Invented worlds, and the models that learn them."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import goldenlayers as gl
from tests.scripts import tool


@pytest.fixture(scope="module")
def train():
    return tool("worlds/train.py")


@pytest.fixture(scope="module")
def small(train):
    return train.Size(people=12, works=6, cities=8, companies=5, countries=3, languages=4)


@pytest.fixture(scope="module")
def told(train, small):
    world = train.make_world(3, small)
    stated = train.statements(world, 3)
    return world, stated, train.sentences(world, stated), train.facts(world, stated, 3)


def test_a_world_follows_from_its_seed(train, small):
    assert train.make_world(3, small) == train.make_world(3, small)
    assert train.make_world(3, small) != train.make_world(4, small)


def test_there_are_as_many_as_were_asked_for_and_names_are_not_shared(told, small):
    world, _, _, facts = told
    assert [len(world.entities[k]) for k in ("person", "work", "city", "company")] == [12, 6, 8, 5]
    names = [n for kind in world.entities.values() for n in kind]
    assert len(set(names)) == len(names)
    assert len(facts) == 12 * 4 + 6 * 2 + 8 + 5
    assert {f.split for f in facts} == {"proxy", "test"}
    assert len({f.id for f in facts}) == len(facts)


def test_rephrasings_are_not_in_the_text_and_what_is_asked_beside_them_is(told):
    _, _, sentences, facts = told
    text = set(sentences)
    for fact in facts:
        assert f"{fact.prompt} {fact.target_old}." in text
        assert len(fact.rephrase_prompts) == 2
        for prompt in fact.rephrase_prompts:
            assert not any(s.startswith(f"{prompt} ") for s in text)
        for probes in fact.locality.values():
            for probe in probes:
                assert f"{probe.prompt} {probe.answer}." in text
        for probe in fact.portability.get("subject_aliasing", ()):
            assert f"{probe.prompt} {fact.target_old}." in text
            assert probe.answers == (fact.target_new,)


def test_each_phrasing_is_read_of_some_subject(train, told):
    _, _, sentences, _ = told
    relations = {r.name: r for r in train.statements.__globals__["RELATIONS"]}
    for relation in relations.values():
        for phrasing in relation.phrasings:
            before, after = phrasing.split("{}")
            assert any(s.startswith(before) and after in s for s in sentences)


def test_what_follows_from_the_new_answer_is_true_in_the_world(told):
    world, _, _, facts = told
    born = [f for f in facts if f.id.startswith("birthplace")]
    for fact in born:
        (probe,) = fact.portability["reasoning"]
        assert probe.prompt == f"The country where {fact.subject} was born is"
        assert probe.answers == (world.objects["country", fact.target_new],)
        assert fact.target_new != fact.target_old
        # the fact that it follows from is no probe of what must stay
        asked = {p.prompt for probes in fact.locality.values() for p in probes}
        assert probe.prompt not in asked


def test_rows_hold_whole_sentences_and_begin_with_one(train):
    told = [([100 + i], [5000 + i] * (1 + i % 7)) for i in range(2000)]
    batches = train.packed(told, train.Random(0))
    assert all(b.shape == (train.BATCH, train.CONTEXT) for b in batches)
    seen = torch.cat(batches)
    # the bare form of a sentence, its first token below 2,100, stands at the start alone
    assert (seen[:, 0] < 2100).all()
    assert len(set(seen[:, 0].tolist())) == len(seen)
    for row in seen.tolist():
        while row and row[-1] == train.END:
            row.pop()
        place = 1
        while place < len(row):
            length = 1 + (row[place] - 5000) % 7
            assert row[place : place + length] == [row[place]] * length
            place += length


@pytest.mark.parametrize("shape", ["gpt2", "gemma3", "qwen3"])
def test_a_folder_that_golden_layers_takes(train, small, shape, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "BATCH", 4)
    report = train.train(shape, 5, tmp_path / "m", small, 2)
    first, last = report["loss_by_epoch"]
    assert last < first
    assert report["facts"] == 73
    assert set(report["known"]) == {"prompt", "rephrase"}
    assert json.loads((tmp_path / "m/training.json").read_text()) == report
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    facts = gl.read_facts(tmp_path / "m/facts.jsonl")
    assert train.known(model, tokenizer, list(facts)) == report["known"]
    ranking = gl.find(model, tokenizer, facts, method="lga")
    assert len(ranking.layers) == {"gpt2": 12, "gemma3": 10, "qwen3": 14}[shape]
