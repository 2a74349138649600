"""Where a model lies and how it computes: device maps, offload, attention, quantised weights."""

from __future__ import annotations

import math
import sys

import peft
import pytest
import torch

from goldenlayers.conformance import FAILS, SKIPPED, check_model
from goldenlayers.editors.edit import Edit
from goldenlayers.editors.run import edit
from goldenlayers.errors import ModelError, SettingsError, SiteError
from goldenlayers.locators.find import find
from goldenlayers.models import placement
from goldenlayers.models.content import content_hash
from goldenlayers.models.load import load_model
from tests import tiny

FACTS = tiny.FACTS[:4]
OFFLOADED = {
    **dict.fromkeys(("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"), "cpu"),
    **{f"model.layers.{n}": "cpu" if n < 2 else "disk" for n in range(4)},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("model")
    tiny.model("llama", torch.float32).save_pretrained(place)
    tiny.tokenizer("llama").save_pretrained(place)
    return str(place)


def scores(loaded, **settings):
    ranking = find(
        loaded.model, loaded.tokenizer, FACTS, method="lga", fence=None, cache=False, **settings
    )
    return torch.tensor([s.score for s in ranking.layers])


@pytest.fixture(scope="module")
def plain(folder):
    return load_model(folder, device="cpu")


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention(folder, plain, attention):
    loaded = load_model(folder, device="cpu", attention=attention)
    assert loaded.model.config._attn_implementation == attention
    torch.testing.assert_close(scores(loaded), scores(plain), rtol=1e-4, atol=1e-5)
    assert check_model(loaded.model, loaded.tokenizer, FACTS[:3]).ok


def test_a_device_map_on_one_device_is_the_same_model(folder, plain):
    loaded = load_model(folder, device_map={"": "cpu"})
    assert content_hash(loaded.model) == content_hash(plain.model)
    assert torch.equal(scores(loaded), scores(plain))
    assert check_model(loaded.model, loaded.tokenizer, FACTS[:3]).ok


def test_offloaded_layers_are_looked_at_and_not_edited(folder, plain):
    loaded = load_model(folder, device_map=OFFLOADED)
    assert loaded.model.model.layers[2].mlp.down_proj.weight.is_meta
    assert torch.equal(scores(loaded), scores(plain))
    with pytest.raises(ModelError, match="offloaded to disk"):
        content_hash(loaded.model)
    with pytest.raises(SiteError, match="meta device"):
        edit(loaded.model, loaded.tokenizer, FACTS[0], 2, templates="bare", steps=2)


@pytest.mark.parametrize(("kind", "tolerance"), [("8bit", 0.1), ("4bit", math.inf)])
def test_quantised_weights_are_enough_to_choose_a_layer(folder, plain, kind, tolerance):
    loaded = load_model(folder, device="cpu", quantize=kind)
    assert loaded.identity.quantized == kind
    assert plain.identity.quantized is None
    weight = loaded.model.model.layers[1].mlp.down_proj.weight
    assert not weight.is_floating_point()
    found, expected = scores(loaded), scores(plain)
    assert torch.isfinite(found).all()
    assert (found != expected).any()
    # tiny random weights lose more in 4 bits than real ones: there the number says nothing
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())
    with pytest.raises(SiteError, match="load the model unquantised"):
        edit(loaded.model, loaded.tokenizer, FACTS[0], 1, templates="bare", steps=2)


@pytest.mark.parametrize("kind", ["8bit", "4bit"])
def test_an_edit_among_quantised_weights(folder, plain, kind, tmp_path):
    loaded = load_model(folder, device="cpu", quantize=kind, edit_layers=[1])
    sites = [layer.mlp.down_proj.weight for layer in loaded.model.model.layers]
    assert [w.is_floating_point() for w in sites] == [False, True, False, False]
    assert torch.equal(sites[1], plain.model.model.layers[1].mlp.down_proj.weight)
    assert torch.equal(loaded.model.lm_head.weight, plain.model.lm_head.weight)
    before = {n: p.detach().clone() for n, p in loaded.model.named_parameters()}
    made = edit(loaded.model, loaded.tokenizer, FACTS[0], 1, templates="bare", steps=5)
    assert all(torch.equal(p, before[n]) for n, p in loaded.model.named_parameters())
    assert made.outcomes[0].nll_after < made.outcomes[0].nll_before
    # the edit is one of the checkpoint: it goes onto the model in full
    made.save(tmp_path / "e.safetensors")
    with Edit.load(tmp_path / "e.safetensors").applied(plain.model):
        assert not torch.equal(sites[1], plain.model.model.layers[1].mlp.down_proj.weight)
        whole = plain.model.model.layers[1].mlp.down_proj.weight.clone()
    # a model folder keeps what is quantised and what is edited
    made.save(tmp_path / "m", "model", model=loaded.model, tokenizer=loaded.tokenizer)
    again = load_model(str(tmp_path / "m"), device="cpu").model
    assert torch.equal(again.model.layers[1].mlp.down_proj.weight, whole)
    assert not again.model.layers[0].mlp.down_proj.weight.is_floating_point()


def test_an_adapter_goes_onto_a_base_that_is_quantised_everywhere(folder, tmp_path):
    kept = load_model(folder, device="cpu", quantize="8bit", edit_layers="1")
    made = edit(kept.model, kept.tokenizer, FACTS[0], 1, templates="bare", steps=20)
    made.save(tmp_path / "adapter", "adapter")
    base = load_model(folder, device="cpu", quantize="8bit").model
    ids = torch.tensor([kept.tokenizer(FACTS[0].prompt)["input_ids"]])
    with torch.no_grad():
        clean = base(ids).logits.float()
        adapted = peft.PeftModel.from_pretrained(base, tmp_path / "adapter")(ids).logits.float()
        with made.applied(kept.model):
            expected = kept.model(ids).logits.float()
    moved = float((expected - clean).abs().max())
    assert moved > 0.1
    # what 8 bits round at that one layer is all that parts them
    assert float((adapted - expected).abs().max()) < 0.2 * moved


def test_layers_to_edit_that_do_not_exist(folder):
    with pytest.raises(SettingsError, match="layer 4 does not exist"):
        load_model(folder, device="cpu", quantize="8bit", edit_layers=[4])


@pytest.mark.parametrize("packs", [False, True])
def test_four_bits_are_not_packed_in_place(folder, packs):
    # what bitsandbytes does where the processor has AVX512-BF16, whatever this one has
    loaded = load_model(folder, device="cpu", quantize="4bit")
    linear = loaded.model.model.layers[1].mlp.down_proj
    linear.support_avx512bf16_for_cpu = packs
    before = linear.weight.data.clone()
    assert torch.isfinite(scores(loaded)).all()
    assert torch.equal(linear.weight.data, before)
    assert linear.support_avx512bf16_for_cpu is packs


@pytest.mark.parametrize("kind", ["8bit", "offloaded"])
def test_checks_of_weights_that_cannot_be_edited(folder, kind):
    if kind == "8bit":
        loaded = load_model(folder, device="cpu", quantize=kind)
    else:
        loaded = load_model(folder, device_map=OFFLOADED)
    found = check_model(loaded.model, loaded.tokenizer, FACTS[:3])
    assert found.ok, [(c.name, c.found) for c in found.checks if c.found.status == FAILS]
    skipped = {c.name for c in found.checks if c.found.status == SKIPPED}
    assert skipped == {"gradient dots", "growing batch", "edit and revert", "export and reload"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": "fast"}, "attention 'fast' is unknown; expected auto, sdpa, eager"),
        ({"device_map": "all"}, "device map 'all': expected auto"),
        ({"device": "cpu", "device_map": "auto"}, "both say where; give one of them"),
        ({"quantize": "2bit"}, "quantize '2bit' is unknown; expected one of 8bit, 4bit"),
    ],
)
def test_refusals_before_anything_is_read(settings, message):
    with pytest.raises(SettingsError, match=message):
        load_model("no-such-model", **{"dtype": "float32", **settings})


def test_without_bitsandbytes_it_is_said_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(SettingsError, match=r"golden-layers\[quantized\]"):
        placement.options(torch.device("cpu"), torch.float32, None, "auto", "8bit")
