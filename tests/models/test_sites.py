"""Edit sites by structure, for every architecture, and the messages where structure fails."""

from __future__ import annotations

import pytest
import torch
import transformers as tf
from torch import nn

from goldenlayers.errors import SettingsError, SiteError
from goldenlayers.models.sites import choose_layers, find_sites
from tests import tiny


@pytest.mark.parametrize("name", tiny.MODELS)
def test_site_of_every_architecture(name):
    _, expected, transposed, d_in, d_out = tiny.MODELS[name]
    model = tiny.model(name, torch.bfloat16)
    sites = find_sites(model)
    assert [s.layer for s in sites] == [0, 1, 2, 3]
    site = sites[1]
    assert site.name == expected
    assert (site.transposed, site.d_in, site.d_out) == (transposed, d_in, d_out)
    assert site.dtype == "bfloat16"
    kind = "FalconLinear" if name == "falcon" else "Conv1D" if transposed else "Linear"
    assert site.kind == kind
    weight = model.get_submodule(site.name).weight
    assert tuple(weight.shape) == ((d_in, d_out) if transposed else (d_out, d_in))
    assert site.name in site.mlp
    assert not any("attn" in n or "attention" in n for n in site.mlp)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("llama", {"gate_proj", "up_proj", "down_proj"}),
        ("gpt2", {"c_fc", "c_proj"}),
        ("opt", {"fc1", "fc2"}),
        ("phi3", {"gate_up_proj", "down_proj"}),
        ("bloom", {"dense_h_to_4h", "dense_4h_to_h"}),
    ],
)
def test_all_weights_of_the_mlp_are_found(name, others):
    site = find_sites(tiny.model(name))[2]
    assert {n.rpartition(".")[2] for n in site.mlp} == others


@pytest.mark.parametrize("name", tiny.MODELS)
def test_the_site_writes_into_the_residual_stream(name):
    # Structure is a guess about names and widths; this is what it has to mean: a change of the
    # site's output moves the block's output by exactly that change, before any post-norm.
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    site = find_sites(model)[1]
    ids = torch.tensor([tokenizer("The capital of Norland is").input_ids])
    block = model.get_submodule(site.block)
    module = model.get_submodule(site.name)

    def block_output(scale):
        seen = []
        hooks = [
            module.register_forward_hook(lambda m, a, out: out * scale),
            block.register_forward_hook(
                lambda m, a, out: seen.append(out[0] if isinstance(out, tuple) else out)
            ),
        ]
        with torch.no_grad():
            model(input_ids=ids)
        for hook in hooks:
            hook.remove()
        return seen[0]

    without, once, twice = block_output(0.0), block_output(1.0), block_output(2.0)
    assert not torch.allclose(without, once)
    if name in ("gemma2", "gemma3_text", "gemma3_multimodal", "olmo2"):  # a post-norm follows
        return
    # Bloom and GPT-J round inside their blocks
    torch.testing.assert_close(twice - once, once - without, rtol=1e-5, atol=1e-6)


def test_a_pattern_names_the_site():
    model = tiny.model("llama")
    sites = find_sites(model, "model.layers.{}.mlp.up_proj")
    assert [s.name for s in sites] == [f"model.layers.{i}.mlp.up_proj" for i in range(4)]
    assert sites[0].block == "model.layers.0"
    assert {n.rpartition(".")[2] for n in sites[0].mlp} == {"gate_proj", "up_proj", "down_proj"}
    assert find_sites(model, "model.layers.{}.mlp.down_proj") == find_sites(model)
    opt = tiny.model("opt")
    assert find_sites(opt, "model.decoder.layers.{}.fc2") == find_sites(opt)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("model.layers.3.mlp.down_proj", "expected one '{}' for the layer"),
        ("model.layers.{}.mlp.{}", "expected one '{}' for the layer"),
        (
            "transformer.h.{}.mlp.down_proj",
            r"no module .* ends alike is 'model.layers.0.mlp.down_proj'",
        ),
        ("model.layers.{}.mlp", "LlamaMLP; expected a linear map"),
    ],
)
def test_a_pattern_that_names_no_site(pattern, message):
    with pytest.raises(SettingsError, match=message):
        find_sites(tiny.model("llama"), pattern)


MIXTURES = {
    "mixtral": lambda: tf.MixtralForCausalLM(
        tf.MixtralConfig(**tiny.LLAMA_LIKE, num_local_experts=2)
    ),
    "qwen2_moe": lambda: tf.Qwen2MoeForCausalLM(
        tf.Qwen2MoeConfig(
            **{k: v for k, v in tiny.LLAMA_LIKE.items() if k != "head_dim"},
            num_experts=2, num_experts_per_tok=1, moe_intermediate_size=16,
            shared_expert_intermediate_size=16,
        )
    ),
    "gpt_oss": lambda: tf.GptOssForCausalLM(
        tf.GptOssConfig(**tiny.LLAMA_LIKE, num_local_experts=2, num_experts_per_tok=1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXTURES)
def test_mixture_of_experts_is_refused_with_the_reason(name):
    with torch.device("meta"):
        model = MIXTURES[name]()
    with pytest.raises(SiteError, match=r"mixture of experts .*no single edit site"):
        find_sites(model)


def test_two_candidates_are_listed_with_the_way_out():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.config = tf.LlamaConfig(**tiny.LLAMA_LIKE)
            block = lambda: nn.ModuleDict({"a": nn.Linear(48, 32), "b": nn.Linear(64, 32)})  # noqa: E731
            self.layers = nn.ModuleList(block() for _ in range(4))

    with pytest.raises(
        SiteError, match=r'found a, b\. Linear maps .*48 -> 32.*--site "layers\.\{\}'
    ):
        find_sites(Odd())


def test_no_blocks_says_what_lists_there_are():
    model = tiny.model("llama")
    model.config.num_hidden_layers = 7
    with pytest.raises(SiteError, match=r"one list of 7 decoder blocks, found model.layers \(4 "):
        find_sites(model)


def test_a_square_mlp_is_told_by_order():
    config = dict(tiny.LLAMA_LIKE, intermediate_size=32)
    model = tf.LlamaForCausalLM(tf.LlamaConfig(**config))
    assert find_sites(model)[0].name == "model.layers.0.mlp.down_proj"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("1-2", [1, 2]),
        ("3,0", [0, 3]),
        ("0-1, 3", [0, 1, 3]),
        ([2, 1], [1, 2]),
    ],
)
def test_choose_layers(layers, expected):
    sites = find_sites(tiny.model("llama"))
    assert [s.layer for s in choose_layers(sites, layers)] == expected


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("2-9", "layer 4 does not exist; the model has layers 0 to 3"),
        ([7], "layer 7 does not exist"),
        ("a", "'a' is not a layer or a range"),
        ("3-1", "'3-1' is not a layer or a range"),
        ("", "not a layer or a range"),
        ([], "no layer is named"),
    ],
)
def test_layers_that_do_not_exist(layers, message):
    with pytest.raises(SettingsError, match=message):
        choose_layers(find_sites(tiny.model("llama")), layers)
