"""Whatever the editor: edited, saved in every format, read back, applied, taken off, compared."""

from __future__ import annotations

import copy
import dataclasses

import peft
import pytest
import torch

import goldenlayers as gl
from goldenlayers.editors.run import EDITORS
from goldenlayers.models.content import content_hash
from tests import tiny
from tests.study.test_sequence import moments
from tests.sweep import test_engine

FACTS = tiny.FACTS[:2]
SPLIT = [
    dataclasses.replace(f, id=f"{split}.{f.id}", split=split)
    for split in ("proxy", "test")
    for f in test_engine.FACTS
]
VALUE = {"lr": 0.1, "steps": 3}
OWN = {
    "memit": {"lam": 0.1, "window": 2},
    "pmet": {"lam": 0.1, "window": 2},
    "emmet": {"lam": 0.1},
    "alphaedit": {"threshold": 1.0, "l2": 0.1, "window": 2},
}


def settings(name):
    return (
        {"steps": 3} | (VALUE if name not in ("ft-l", "ft-m", "lora") else {}) | OWN.get(name, {})
    )


def made(name, model, tokenizer):
    takes = getattr(EDITORS[name], "takes_window", False)
    needs = getattr(EDITORS[name], "needs_covariance", False)
    return gl.edit(
        model, tokenizer, FACTS, [1, 2] if takes else 1, name, templates="bare",
        covariance=moments(model, [1, 2]) if needs else None, **settings(name),
    )  # fmt: skip


@pytest.mark.parametrize("name", EDITORS)
def test_from_edit_to_files_and_back(name, tmp_path):
    model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
    before = content_hash(model)
    edit = made(name, model, tokenizer)
    assert content_hash(model) == before
    assert [o.fact.id for o in edit.outcomes] == [f.id for f in FACTS]
    assert any(o.nll_after < o.nll_before for o in edit.outcomes)
    ids = torch.tensor([tokenizer(FACTS[0].prompt)["input_ids"]])
    with torch.no_grad():
        clean = model(ids).logits
        edit.apply(model)
        edited = model(ids).logits
    assert float((edited - clean).abs().max()) > 1e-4
    scores = gl.evaluate(model, tokenizer, FACTS, fluency=False).summary()
    assert edit.revert(model).exact
    assert content_hash(model) == before
    # as a file, as a LoRA of peft's, and as a whole model
    (file,) = edit.save(tmp_path / "edit.safetensors")
    assert gl.Edit.load(file).updates == edit.updates
    edit.save(tmp_path / "adapter", "adapter")
    edit.save(tmp_path / "model", "model", model=model, tokenizer=tokenizer)
    assert content_hash(model) == before
    lora = peft.PeftModel.from_pretrained(copy.deepcopy(model), tmp_path / "adapter").eval()
    whole = gl.load_model(str(tmp_path / "model"))
    with torch.no_grad():
        for other in (lora, whole.model):
            torch.testing.assert_close(other(ids).logits, edited, rtol=0, atol=1e-4)
    assert gl.Edit.load(tmp_path / "model").layers == edit.layers
    found = gl.evaluate(whole.model, whole.tokenizer, FACTS, fluency=False).summary()
    assert found["scores"]["nll_new"]["after"] == pytest.approx(
        scores["scores"]["nll_new"]["after"]
    )


@pytest.mark.parametrize("name", EDITORS)
def test_layers_are_compared_and_brute_forced(name, tmp_path):
    model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
    text = tmp_path / "text.txt"
    text.write_text("The town stands by the sea, and the sea is cold in winter. " * 60)
    needs = getattr(EDITORS[name], "needs_covariance", False)
    own = settings(name) | {"steps": 8, "lr": 0.5}
    how = {"editor": name, "templates": "bare", "editor_settings": own}
    how["covariance"] = str(text) if needs else "none"
    before = content_hash(model)
    found = gl.compare(
        model,
        tokenizer,
        SPLIT,
        ["lga", "brute-force", "middle"],
        proxy=len(test_engine.FACTS),
        repeats=1,
        **how,
    )
    assert [m.method for m in found.methods] == ["lga", "brute-force", "middle"]
    assert found.golden in found.layers
    assert len(set(found.test["score"])) > 1  # it matters where
    ranking = gl.find(model, tokenizer, SPLIT, method="brute-force", split="proxy", **how)
    choices = next(m for m in found.methods if m.method == "brute-force").choices
    assert ranking.golden == choices[0].layer
    assert content_hash(model) == before
