"""An adapter folder as the real `peft` reads it: the logits are those of the edited model."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import peft
import pytest
import torch
import transformers as tf
from safetensors.torch import load_file

from goldenlayers.editors.base import base_of
from goldenlayers.editors.edit import Edit
from goldenlayers.models.identity import identify
from goldenlayers.models.sites import find_sites
from tests import tiny
from tests.editors.edits import random_edit
from tests.editors.test_edit import logits

PROMPTS = ["The capital of France is", "The author of the novel Emma is", "Water boils at"]


def twelve_layers():
    """A model in which "1" is a part of the names of other layers."""
    torch.manual_seed(0)
    config = tf.LlamaConfig(**{**tiny.LLAMA_LIKE, "num_hidden_layers": 12})
    return tf.LlamaForCausalLM(config).eval()


def difference(a, b):
    return float((a.double() - b.double()).abs().max())


def adapted(model, folder):
    return peft.PeftModel.from_pretrained(copy.deepcopy(model), folder).eval()


@pytest.mark.parametrize("name", [*tiny.MODELS, "twelve layers"])
def test_same_logits_as_the_edit(name, tmp_path):
    model = twelve_layers() if name == "twelve layers" else tiny.model(name, torch.float32)
    edit = random_edit(model, (1, 2), rank={1: 2, 2: 3})
    edit.save(tmp_path / "a", "adapter")
    plain = logits(model)
    with edit.applied(model):
        expected = logits(model)
    assert difference(expected, plain) > 0.05
    lora = adapted(model, tmp_path / "a")
    assert difference(logits(lora), expected) < 1e-4
    with lora.disable_adapter():
        assert torch.equal(logits(lora), plain)
    changed = {n.removesuffix(".lora_A") for n, _ in lora.named_modules() if n.endswith(".lora_A")}
    assert changed == {f"base_model.model.{u.name}" for u in edit.updates}
    merged = lora.merge_and_unload()
    assert difference(logits(merged), expected) < 1e-4
    # the merged model is base plus edit, so the edit can be taken off it
    assert edit.revert(merged, model).exact


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["gpt2", "llama", "opt"])
def test_in_half_precision_the_logits_agree_within_its_rounding(name, dtype, tmp_path):
    model = tiny.model(name, dtype)
    edit = random_edit(model, (1, 2), rank=2)
    edit.save(tmp_path / "a", "adapter")
    with edit.applied(model):
        expected = logits(model)
    lora = adapted(model, tmp_path / "a")
    # the adapter's part is added to the output, unrounded; an edited weight is rounded
    bound = 8 * torch.finfo(dtype).eps * float(expected.abs().max())
    assert difference(logits(lora), expected) < bound
    # merged, it is rounded into the weight as an edit is
    assert difference(logits(lora.merge_and_unload()), expected) < bound


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_rank_is_the_edits(name, tmp_path):
    model = tiny.model(name, torch.float32)
    edit = random_edit(model, (0, 2, 3), rank={0: 1, 2: 4, 3: 1})
    edit.save(tmp_path / "a", "adapter")
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    sites = [site.name for site in find_sites(model)]
    assert (config["r"], config["lora_alpha"]) == (4, 4)
    assert config["rank_pattern"] == config["alpha_pattern"] == {sites[0]: 1, sites[3]: 1}
    assert config["target_modules"] == [sites[0], sites[2], sites[3]]
    assert config["fan_in_fan_out"] is (name == "gpt2")
    tensors = load_file(tmp_path / "a" / "adapter_model.safetensors")
    for update in edit.updates:
        a, b = (tensors[f"base_model.model.{update.name}.lora_{x}.weight"] for x in "AB")
        assert a.shape == (update.rank, update.right.shape[0])
        assert b.shape == (update.left.shape[0], update.rank)
        assert torch.equal(b @ a, update.left @ update.right.T)  # powers of two cost no bit
        sizes = a.norm(dim=1) / b.norm(dim=0)
        assert ((sizes > 0.49) & (sizes < 2.01)).all()  # no factor dwarfs the other
        before = update.right.norm(dim=0) / update.left.norm(dim=0)
        assert not ((before > 0.49) & (before < 2.01)).all()


def test_many_sites_and_a_composed_edit(tmp_path):
    model = twelve_layers()
    edit = random_edit(model, tuple(range(12)), rank={n: 1 + n % 3 for n in range(12)}, size=0.1)
    edit = Edit.compose([edit, random_edit(model, (1, 10, 11), seed=4)])
    edit.save(tmp_path / "a", "adapter")
    with edit.applied(model):
        expected = logits(model)
    assert difference(logits(adapted(model, tmp_path / "a")), expected) < 1e-4


def test_float64(tmp_path):
    model = tiny.model("gpt2", torch.float64)
    edit = random_edit(model, (1,), rank=2, dtype=torch.float64)
    edit.save(tmp_path / "a", "adapter")
    with edit.applied(model):
        expected = logits(model)
    assert difference(logits(adapted(model, tmp_path / "a")), expected) < 1e-12
    assert Edit.load(tmp_path / "a") == edit


def test_through_transformers_own_loader(tmp_path):
    model = tiny.model("llama", torch.float32)
    edit = random_edit(model, (1, 2))
    edit.save(tmp_path / "a", "adapter")
    with edit.applied(model):
        expected = logits(model)
    lent = copy.deepcopy(model)
    lent.load_adapter(str(tmp_path / "a"))
    assert difference(logits(lent), expected) < 1e-4


NAMES = {
    "bundled": "bundled",
    "owner/Some-Model_1.5B": "owner/Some-Model_1.5B",
    "gpt2": "gpt2",
    "/home/alice/models/mine": "mine",
    "/home/alice/models/mine/": "mine",
    "~/mine": "mine",
    "./runs/mine": "mine",
    "../mine": "mine",
    "runs/2024/mine": "mine",
    "C:\\Users\\alice\\mine": "mine",
    "/home/alice/mine.Q4_0.gguf": "mine.Q4_0.gguf",
    "/": "a local folder",
    ".": "a local folder",
}


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_names_no_path_of_its_sender(name, tmp_path):
    model = tiny.model("llama", torch.float32)
    edit = random_edit(model)
    base = base_of(model, edit.norms, identify(model, name))
    replace(edit, base=base).save(tmp_path / "a", "adapter")
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == NAMES[name]
    note = (tmp_path / "a" / "golden_layers.json").read_text()
    assert "alice" not in note
    how = json.loads(note)["how_to_load"]
    assert "peft.PeftModel.from_pretrained(base_model, folder), where base_model is " in how
    assert NAMES[name] in how
    back = Edit.load(tmp_path / "a")
    assert back.base.model["name"] == NAMES[name]
    assert (back.base.weights, back.base.others) == (edit.base.weights, edit.base.others)
    # peft loads it onto a model as it said
    with edit.applied(model):
        expected = logits(model)
    assert difference(logits(adapted(model, tmp_path / "a")), expected) < 1e-4


def test_a_local_folder_that_looks_like_a_hub_name(tmp_path, monkeypatch):
    model = tiny.model("llama", torch.float32)
    edit = random_edit(model)
    monkeypatch.chdir(tmp_path)
    Path("alice/mine").mkdir(parents=True)
    for i, identity in enumerate(
        [identify(model, "alice/mine"), identify(model, "alice/gone", {"config.json": "0" * 64})]
    ):
        base = replace(edit.base, model=identity.to_dict())
        replace(edit, base=base).save(f"{i}", "adapter")
        config = json.loads(Path(f"{i}/adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == ["mine", "gone"][i]


@pytest.mark.bundled
def test_the_bundled_model(bundled, tmp_path):
    """A real model, born from a GGUF file: through an adapter, and off again."""
    model = copy.deepcopy(bundled.model)
    # about as large as a real edit; far larger ones amplify the model's own rounding
    edit = random_edit(model, (8, 20), rank=2, size=0.1)
    edit = Edit(**{**vars(edit), "base": base_of(model, edit.norms, bundled.identity)})
    edit.save(tmp_path / "a", "adapter")
    edit = Edit.load(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "bundled"
    note = json.loads((tmp_path / "a" / "golden_layers.json").read_text())
    assert 'base_model is goldenlayers.load_model("bundled").model' in note["how_to_load"]

    def answers(model):
        with torch.no_grad():
            return [model(**bundled.tokenizer(p, return_tensors="pt")).logits for p in PROMPTS]

    def worst(some, others):
        return max(difference(a, b) for a, b in zip(some, others, strict=True))

    plain = answers(model)
    with edit.applied(model):
        expected = answers(model)
    assert worst(expected, plain) > 0.5
    lora = peft.PeftModel.from_pretrained(model, tmp_path / "a").eval()
    assert worst(answers(lora), expected) < 1e-4
    merged = lora.merge_and_unload()
    assert not edit.revert(copy.deepcopy(merged)).exact
    assert edit.revert(merged, bundled.model).exact
    assert worst(answers(merged), plain) == 0
