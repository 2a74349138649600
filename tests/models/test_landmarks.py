"""Names of a model's parts: against names written by hand, and against what the parts do."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import transformers as tf
from torch import nn

from goldenlayers.errors import SiteError
from goldenlayers.models.landmarks import Landmarks, find_landmarks
from goldenlayers.models.sites import find_sites
from tests import tiny

LLAMA = Landmarks(
    layers=4,
    block="model.layers.{}",
    site="model.layers.{}.mlp.down_proj",
    mlp="model.layers.{}.mlp",
    attention="model.layers.{}.self_attn",
    norm="model.norm",
    head="lm_head",
)
TIED = dataclasses.replace(LLAMA, head="model.embed_tokens")
GPT = Landmarks(
    layers=4,
    block="transformer.h.{}",
    site="transformer.h.{}.mlp.c_proj",
    mlp="transformer.h.{}.mlp",
    attention="transformer.h.{}.attn",
    norm="transformer.ln_f",
    head="transformer.wte",
)
EXPECTED = {
    "gpt2": GPT,
    "llama": LLAMA,
    "llama_tied": TIED,
    "gemma2": TIED,
    "gemma3_text": TIED,
    "gemma3_multimodal": Landmarks(
        layers=4,
        block="model.language_model.layers.{}",
        site="model.language_model.layers.{}.mlp.down_proj",
        mlp="model.language_model.layers.{}.mlp",
        attention="model.language_model.layers.{}.self_attn",
        norm="model.language_model.norm",
        head="model.language_model.embed_tokens",
    ),
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "mistral": LLAMA,
    "gpt_neox": Landmarks(
        layers=4,
        block="gpt_neox.layers.{}",
        site="gpt_neox.layers.{}.mlp.dense_4h_to_h",
        mlp="gpt_neox.layers.{}.mlp",
        attention="gpt_neox.layers.{}.attention",
        norm="gpt_neox.final_layer_norm",
        head="lm_head",
    ),
    "gptj": dataclasses.replace(GPT, site="transformer.h.{}.mlp.fc_out", head="lm_head"),
    "opt": Landmarks(
        layers=4,
        block="model.decoder.layers.{}",
        site="model.decoder.layers.{}.fc2",
        mlp="model.decoder.layers.{}.fc2",  # the MLP has no module of its own
        attention="model.decoder.layers.{}.self_attn",
        norm="model.decoder.final_layer_norm",
        head="model.decoder.embed_tokens",
    ),
    "phi3": LLAMA,
    "falcon": dataclasses.replace(
        GPT,
        site="transformer.h.{}.mlp.dense_4h_to_h",
        attention="transformer.h.{}.self_attention",
        head="transformer.word_embeddings",
    ),
    "olmo2": LLAMA,
    "bloom": dataclasses.replace(
        GPT,
        site="transformer.h.{}.mlp.dense_4h_to_h",
        mlp="transformer.h.{}.mlp.dense_4h_to_h",  # the module adds the residual
        attention="transformer.h.{}.self_attention",
        head="transformer.word_embeddings",
    ),
}


def first(output):
    return output[0] if isinstance(output, tuple) else output


@pytest.fixture
def hooks():
    """Hooks that are taken off when the test is over."""
    handles: list = []
    yield handles
    for handle in handles:
        handle.remove()


def test_every_model_has_names_by_hand():
    assert EXPECTED.keys() == tiny.MODELS.keys()


@pytest.mark.parametrize("name", tiny.MODELS)
def test_names(name):
    model = tiny.model(name, torch.bfloat16)
    for site in (None, *find_sites(model)):
        assert find_landmarks(model, site) == EXPECTED[name]
    with torch.device("meta"):
        empty = tf.AutoModelForCausalLM.from_config(model.config)
    assert find_landmarks(empty) == EXPECTED[name]


@pytest.mark.parametrize("name", tiny.MODELS)
def test_the_mlp_puts_out_what_the_site_writes(name, hooks):
    model, seen = tiny.model(name), {}
    marks = find_landmarks(model)
    for part in ("mlp", "site"):
        module = model.get_submodule(getattr(marks, part).format(2))
        hooks.append(
            module.register_forward_hook(lambda m, a, out, part=part: seen.update({part: out}))
        )
    with torch.no_grad():
        model(input_ids=torch.tensor([[5, 6, 7], [8, 9, 10]]))
    assert torch.equal(seen["mlp"], seen["site"])


@pytest.mark.parametrize("name", tiny.MODELS)
def test_the_head_reads_the_norm(name, hooks):
    model, seen = tiny.model(name), {}
    marks = find_landmarks(model)
    hooks.append(
        model.get_submodule(marks.norm).register_forward_hook(
            lambda m, a, out: seen.update(norm=out)
        )
    )
    head = model.get_output_embeddings()
    hooks.append(head.register_forward_pre_hook(lambda m, a: seen.update(head=a[0])))
    with torch.no_grad():
        model(input_ids=torch.tensor([[5, 6, 7]]))
    assert torch.equal(seen["norm"], seen["head"])
    assert model.get_parameter(f"{marks.head}.weight") is head.weight
    # tools look it up by name among these, where a weight that is shared has one name
    assert f"{marks.head}.weight" in dict(model.named_parameters())


@pytest.mark.parametrize("name", tiny.MODELS)
def test_without_the_attention_no_token_sees_another(name, hooks):
    model = tiny.model(name)
    marks = find_landmarks(model)

    def silence(module, arguments, output):
        zero = torch.zeros_like(first(output))
        return (zero, *output[1:]) if isinstance(output, tuple) else zero

    def last_logits(first_token):
        with torch.no_grad():
            return model(input_ids=torch.tensor([[first_token, 6, 7]])).logits[0, -1]

    assert not torch.equal(last_logits(5), last_logits(50))
    for layer in range(marks.layers):
        module = model.get_submodule(marks.attention.format(layer))
        hooks.append(module.register_forward_hook(silence))
    torch.testing.assert_close(last_logits(5), last_logits(50), rtol=1e-12, atol=1e-12)


def test_a_site_in_the_attention_stands_for_itself():
    model = tiny.model("llama")
    site = find_sites(model, "model.layers.{}.self_attn.o_proj")[1]
    marks = find_landmarks(model, site)
    assert marks.site == marks.mlp == "model.layers.{}.self_attn.o_proj"
    assert marks.attention == "model.layers.{}.self_attn"


def test_mpt_adds_the_residual_in_its_mlp():
    config = tf.MptConfig(d_model=32, n_heads=4, n_layers=4, max_seq_len=64, vocab_size=512)
    with torch.device("meta"):
        marks = find_landmarks(tf.MptForCausalLM(config))
    assert (marks.mlp, marks.norm) == ("transformer.blocks.{}.ffn.down_proj", "transformer.norm_f")


def test_blocks_with_different_attention():
    kinds = ["linear_attention", "full_attention"] * 2
    with torch.device("meta"):
        model = tf.Qwen3_5ForCausalLM(tf.Qwen3_5TextConfig(**tiny.LLAMA_LIKE, layer_types=kinds))
    names = [find_landmarks(model, site).attention for site in find_sites(model)]
    assert names == [f"model.layers.{{}}.{n}" for n in ("linear_attn", "self_attn")] * 2


def test_a_block_without_attention_takes_the_name_of_the_others():
    config = {k: v for k, v in tiny.LLAMA_LIKE.items() if k != "head_dim"}
    with torch.device("meta"):
        model = tf.Lfm2ForCausalLM(
            tf.Lfm2Config(**config, layer_types=["conv", "full_attention"] * 2)
        )
    for site in find_sites(model):
        assert find_landmarks(model, site).attention == "model.layers.{}.self_attn"


def test_a_model_without_a_final_norm():
    config = tf.OpenAIGPTConfig(n_embd=32, n_layer=4, n_head=4, vocab_size=512)
    with (
        torch.device("meta"),
        pytest.raises(SiteError, match=r"a norm between the blocks transformer\.h .* tokens_embed"),
    ):
        find_landmarks(tf.OpenAIGPTLMHeadModel(config))


def test_two_norms_after_the_blocks():
    model = tiny.model("llama")
    model.model.second_norm = nn.LayerNorm(32)
    with pytest.raises(SiteError, match=r"after the blocks model\.layers, found norm, second"):
        find_landmarks(model)


def test_attention_that_cannot_be_told():
    model = tiny.model("llama")
    for block in model.model.layers:
        block.mixer = block.self_attn
        del block.self_attn
    with pytest.raises(SiteError, match=r"layers\.2 \(LlamaDec.* found none\. Parts .*mixer"):
        find_landmarks(model, find_sites(tiny.model("llama"))[2])
    model = tiny.model("llama")
    model.model.layers[1].cross_attn = model.model.layers[0].self_attn
    with pytest.raises(SiteError, match="found self_attn, cross_attn"):
        find_landmarks(model, find_sites(model)[1])


def test_no_output_head():
    model = tiny.model("llama")
    model.get_output_embeddings = lambda: None
    with pytest.raises(SiteError, match=r"an output head .* found none"):
        find_landmarks(model)


def test_a_site_that_is_in_no_numbered_block():
    model = tiny.model("llama")
    site = dataclasses.replace(find_sites(model)[0], block="model")
    with pytest.raises(SiteError, match="numbered block"):
        find_landmarks(model, site)
