"""The one-pass gradient dots against explicit weight gradients, on every architecture."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.errors import ModelError
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.models.text import encode_pairs
from goldenlayers.passes.batches import pair_batches
from goldenlayers.passes.dots import gradient_dots
from tests import reference, tiny


def tolerance_of(name):
    return 1e-6 if name in tiny.FLOAT32_INSIDE else 1e-9


def rows_of(tokenizer):
    facts = [*tiny.FACTS, *tiny.LAST_TOKEN]
    old = encode_pairs(tokenizer, [(f.prompt, f.target_old) for f in facts])
    new = encode_pairs(tokenizer, [(f.prompt, f.target_new) for f in facts])
    return old, new


def fast(model, layers, old, new, *, padding_side="right", max_tokens=10_000):
    """Products (3, L, N) and losses (2, N) in the order of the facts."""
    modules = dict(model.named_modules())
    linears = [[modules[n] for n in names] for names in layers]
    products = torch.zeros(3, len(layers), len(old), dtype=torch.float64)
    losses = torch.zeros(2, len(old), dtype=torch.float64)
    with untouched(model):
        batches = pair_batches(old, new, max_tokens=max_tokens, padding_side=padding_side)
        for batch in batches:
            dots = gradient_dots(model, linears, batch)
            products[:, :, list(batch.index)] = dots.products
            losses[:, list(batch.index)] = dots.losses
            assert dots.reached.all()
    return products, losses


def relative_error(found, expected):
    """Error of each product over |g_old| |g_new| of its fact and layer."""
    scale = torch.sqrt(expected[0] * expected[2])
    return ((found - expected).abs() / scale).max().item()


@pytest.mark.parametrize("scope", ["site", "mlp"])
@pytest.mark.parametrize("name", tiny.MODELS)
def test_equals_explicit_gradients(name, scope):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    old, new = rows_of(tokenizer)
    assert max(len(r.answer) for r in old + new) > 2  # answers of several tokens
    sites = find_sites(model)
    layers = [list(s.mlp) if scope == "mlp" else [s.name] for s in sites]
    found, losses = fast(model, layers, old, new)
    expected = torch.stack(
        [reference.inner_products(model, o, n, layers) for o, n in zip(old, new, strict=True)],
        dim=2,
    )
    assert (expected[0] > 0).all()
    assert relative_error(found, expected) < tolerance_of(name)
    loss = [[reference.mean_nll(model, r).item() for r in rows] for rows in (old, new)]
    expected_loss = torch.tensor(loss, dtype=torch.float64)
    torch.testing.assert_close(losses, expected_loss, rtol=tolerance_of(name), atol=0)


@pytest.mark.parametrize(
    "name", ["gpt2", "llama", "gemma3_text", "opt", "bloom", "gpt_neox", "falcon"]
)
def test_padding_side_and_batch_size_do_not_matter(name):
    # Bloom's own left padding gives NaN in float64: float64's lowest number, its mask, is minus
    # infinity in the float32 of its softmax.
    bloom = name == "bloom"
    model, tokenizer = (
        tiny.model(name, torch.float32 if bloom else torch.float64),
        tiny.tokenizer(name),
    )
    old, new = rows_of(tokenizer)
    layers = [[s.name] for s in find_sites(model)]
    alone, _ = fast(model, layers, old, new, max_tokens=1)
    for side in ("right", "left"):
        together, _ = fast(model, layers, old, new, padding_side=side)
        assert relative_error(together, alone) < (1e-5 if bloom else 1e-9), side


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 5e-2), (torch.float16, 1e-2)])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_half_precision_products_are_formed_in_float32(name, dtype, tolerance):
    # The reference differentiates the same half-precision model, so rounding of activations differs
    # only by the order of sums; what must not happen is a product rounded to half precision.
    model, tokenizer = tiny.model(name, dtype), tiny.tokenizer(name)
    old, new = rows_of(tokenizer)
    layers = [[s.name] for s in find_sites(model)]
    found, _ = fast(model, layers, old, new)
    expected = torch.stack(
        [reference.inner_products(model, o, n, layers) for o, n in zip(old, new, strict=True)],
        dim=2,
    )
    assert found.dtype == torch.float64
    assert relative_error(found, expected) < tolerance


def test_float32_is_close_to_float64():
    tokenizer = tiny.tokenizer("llama")
    old, new = rows_of(tokenizer)
    exact_model = tiny.model("llama")
    layers = [[s.name] for s in find_sites(exact_model)]
    exact, _ = fast(exact_model, layers, old, new)
    single, _ = fast(exact_model.float(), layers, old, new)
    assert relative_error(single, exact) < 1e-3


def test_layers_below_the_first_wanted_are_not_differentiated():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    old, new = rows_of(tokenizer)
    names = [[s.name] for s in find_sites(model)]
    whole, _ = fast(model, names, old, new)
    graph: list[bool] = []
    below = model.get_submodule("model.layers.1")
    handle = below.register_forward_hook(lambda m, a, out: graph.append(out.requires_grad))
    upper, _ = fast(model, names[2:], old, new)
    handle.remove()
    assert not any(graph)
    assert relative_error(upper, whole[:, 2:]) < 1e-12


def test_a_map_that_runs_twice_is_refused():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    model.model.layers[2].mlp = model.model.layers[1].mlp
    old, new = rows_of(tokenizer)
    with pytest.raises(ModelError, match="more than once"):
        fast(model, [["model.layers.1.mlp.down_proj"]], old, new)
    assert not model.model.layers[1].mlp.down_proj._forward_hooks


def test_unreached_layer_is_told_from_a_score_of_zero():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    mlp = model.model.layers[1].mlp
    mlp.register_forward_hook(lambda m, a, out: out.detach())
    old, new = rows_of(tokenizer)
    modules = [[model.get_submodule(s.name)] for s in find_sites(model)]
    with untouched(model):
        batch = pair_batches(old, new, max_tokens=10_000)[0]
        dots = gradient_dots(model, modules, batch)
    assert dots.reached.tolist() == [True, False, True, True]
