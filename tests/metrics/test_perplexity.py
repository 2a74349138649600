"""Perplexity, against one token after another."""

from __future__ import annotations

import math

import pytest
import torch

import goldenlayers as gl
from goldenlayers.errors import SettingsError
from goldenlayers.metrics import perplexity as module
from goldenlayers.metrics.perplexity import FIXED, perplexity, read_text
from goldenlayers.models.content import content_hash
from tests import tiny

TEXT = "Mira Olen lives in Rivermouth. The capital of Vell is old, and the sea is cold there."


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
@pytest.mark.parametrize("window", [7, 512])
def test_one_token_after_another(name, window, monkeypatch):
    monkeypatch.setattr(module, "WINDOW", window)
    model, tokenizer = tiny.model(name).train(), tiny.tokenizer(name)
    before = content_hash(model)
    found = perplexity(model, tokenizer, TEXT)
    assert content_hash(model) == before
    assert model.training
    model.eval()
    ids, losses = tokenizer(TEXT)["input_ids"], []
    for start in range(0, len(ids), window):
        part = ids[start : start + window]
        for n in range(1, len(part)):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([part[:n]])).logits[0, -1]
            losses.append(-float(logits.log_softmax(-1)[part[n]]))
    assert len(losses) > 15
    assert found == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-9)


def test_a_broken_model():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    assert perplexity(model, tokenizer, TEXT) == math.inf
    with torch.no_grad():
        model.model.norm.weight.fill_(1e30)
    assert perplexity(model, tokenizer, TEXT) == math.inf  # more than a float holds


def test_texts(tmp_path):
    assert len(read_text(FIXED).split()) > 600
    (tmp_path / "mine.txt").write_text("\ufeff  Two words \n", encoding="utf-8")
    assert read_text(str(tmp_path / "mine.txt")) == "Two words"
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    for name, message in {
        "empty.txt": "holds no text", "bad.txt": "utf-8", "none.txt": "No such file"
    }.items():  # fmt: skip
        with pytest.raises(SettingsError, match=message):
            read_text(str(tmp_path / name))
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    with pytest.raises(SettingsError, match="expected two or more"):
        perplexity(model, tokenizer, "")


def test_it_is_public():
    assert gl.perplexity is perplexity
