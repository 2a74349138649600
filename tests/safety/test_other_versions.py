"""Caches and stores that another version of golden-layers wrote: a line, and computed anew."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import torch

from goldenlayers.covariance import compute, key
from goldenlayers.covariance.compute import key_covariance
from goldenlayers.errors import ModelError, ResultError
from goldenlayers.locators import old_answers
from goldenlayers.locators.answers import old_and_new
from goldenlayers.models import bundled
from goldenlayers.sweep.store import Store
from tests import tiny
from tests.locators.test_old_answers import FACTS
from tests.sweep.test_store import IDENTITY, outcome


def test_a_covariance_of_another_format_is_told_and_computed_anew(tmp_path, monkeypatch):
    model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
    how = {"tokens": 60, "length": 20, "cache": tmp_path}
    first = key_covariance(model, tokenizer, **how)
    (tmp_path / "layer-01-of-nobody.safetensors").write_bytes(b"damaged")
    for module in (key, compute):
        monkeypatch.setattr(module, "FORMAT", 2)
    said = []
    again = key_covariance(model, tokenizer, layers=[1, 2], **how, say=said.append)
    assert again.computed == (1, 2)
    (line,) = [s for s in said if "format" in s]
    assert "layers 1, 2 of format 1, this golden-layers reads 2; computing anew" in line
    assert torch.equal(again[1].sum, first[1].sum)
    said.clear()
    assert key_covariance(model, tokenizer, layers=[1, 2], **how, say=said.append).computed == ()
    key_covariance(model, tokenizer, layers=[1], **how | {"length": 10}, say=said.append)
    assert not [s for s in said if "format" in s]  # another text is another thing


def test_answers_of_another_form_cost_a_line_and_nothing_else():
    model, tokenizer = tiny.model("llama", torch.float64), tiny.tokenizer("llama")
    path = old_answers.cache_dir() / old_answers.NAME
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE answers (prompt TEXT, said TEXT)")
    said = []
    found = old_and_new(model, tokenizer, FACTS, cache=True, say=said.append)
    assert found.pairs == old_and_new(model, tokenizer, FACTS).pairs
    assert all(str(path) in line and "the run goes on without" in line for line in said)
    assert said


def test_answers_by_another_rule_are_asked_again(monkeypatch):
    model, tokenizer = tiny.model("llama", torch.float64), tiny.tokenizer("llama")
    first = old_and_new(model, tokenizer, FACTS, cache=True)
    asked = []
    real = old_answers.OldAnswers.keep
    monkeypatch.setattr(
        old_answers.OldAnswers, "keep",
        lambda self, prompts, lengths, new: asked.extend(new) or real(self, prompts, lengths, new),
    )  # fmt: skip
    monkeypatch.setattr(old_answers, "RULE", old_answers.RULE + 1)
    assert old_and_new(model, tokenizer, FACTS, cache=True).pairs == first.pairs
    assert len(asked) == len(FACTS)


def test_a_bundled_model_of_another_conversion_is_told_and_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("GOLDENLAYERS_CACHE", str(tmp_path))
    older = bundled.bundled_folder()
    older.mkdir()
    monkeypatch.setattr(bundled, "CONVERSION", bundled.CONVERSION + 1)
    monkeypatch.setattr(bundled, "_fetch", _no_network)
    said = []
    with pytest.raises(ModelError, match="no network"):
        bundled.ensure_bundled(said.append)
    assert said[0] == f"{older}: of another version of golden-layers, not read; it may be deleted"
    assert said[1].startswith("fetching")
    assert list(tmp_path.iterdir()) == [older]


def _no_network(work):
    raise ModelError("no network")


def test_a_store_of_another_format_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "sweep.sqlite"
    with Store(path, IDENTITY) as store:
        store.add([outcome()])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA user_version = 1")
    before = path.read_bytes()
    with pytest.raises(ResultError, match=r"format version 1; this golden-layers reads 2; choose"):
        Store(path, IDENTITY, resume=True)
    assert path.read_bytes() == before
