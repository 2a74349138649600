"""Second moments of the keys against an explicit loop, on every architecture."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.errors import ModelError
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.passes.moments import MIN_BLOCK, KeyMoments, add_outer
from tests import tiny
from tests.models.test_guard import assert_same, in_use, snapshot

WINDOWS = [(1, 7, 9, 30, 31, 90), (5, 6), (200,), (1, 44, 45, 46, 47, 48, 49, 50, 51), (3, 3, 3)]


def by_hand(model, site, windows):
    """Sum of k k^T, one window at a time, unpadded, one token at a time."""
    total = torch.zeros(site.d_in, site.d_in, dtype=torch.float64)
    kept = []
    module = model.get_submodule(site.name)
    handle = module.register_forward_hook(lambda m, args, out: kept.append(args[0].detach()))
    for window in windows:
        kept.clear()
        with torch.no_grad():
            model(input_ids=torch.tensor([window]), use_cache=False)
        for k in kept[0].reshape(len(window), site.d_in).double():
            total += torch.outer(k, k)
    handle.remove()
    return total


def relative(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("name", tiny.MODELS)
def test_equals_a_loop_over_tokens(name):
    model = tiny.model(name)
    sites = find_sites(model)
    with untouched(model):
        moments = KeyMoments(model, sites, torch.float64)
        moments.add(WINDOWS[:3])
        moments.add(WINDOWS[3:])
    assert moments.tokens == sum(map(len, WINDOWS)) == 21
    for site in sites:
        found = moments.whole(site.name)
        assert torch.equal(found, found.T)
        tolerance = 1e-6 if name in tiny.FLOAT32_INSIDE else 1e-12
        assert relative(found, by_hand(model, site, WINDOWS)) < tolerance


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "bloom", "gemma3_text"])
def test_half_precision_keys_are_raised_before_the_product(name):
    model = tiny.model(name, torch.bfloat16)
    (site,) = find_sites(model)[2:3]
    with untouched(model):
        moments = KeyMoments(model, [site])
        moments.add([WINDOWS[3]])
    assert moments.sums[site.name].dtype == torch.float32
    assert relative(moments.whole(site.name), by_hand(model, site, [WINDOWS[3]])) < 1e-6


@pytest.mark.parametrize("width", [1, 7, MIN_BLOCK, MIN_BLOCK + 1, 3 * MIN_BLOCK - 5])
def test_upper_blocks_are_all_there(width):
    keys = torch.randn(11, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    total = torch.zeros(width, width, dtype=torch.float64)
    add_outer(total, keys)
    torch.testing.assert_close(total.triu(), (keys.T @ keys).triu())


def test_products_are_float32_where_the_user_has_allowed_less():
    keys = torch.randn(64, 48, generator=torch.Generator().manual_seed(1))
    total = torch.zeros(48, 48)
    torch.set_float32_matmul_precision("medium")
    try:
        add_outer(total, keys)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert relative(total.triu().double(), (keys.double().T @ keys.double()).triu()) < 1e-6


def test_nothing_runs_after_the_last_wanted_key():
    model = tiny.model("llama")
    ran = []
    for i, block in enumerate(model.model.layers):
        block.self_attn.register_forward_hook(lambda m, a, o, i=i: ran.append(i))
    model.lm_head.register_forward_hook(lambda m, a, o: ran.append("head"))
    with untouched(model):
        KeyMoments(model, find_sites(model)[:2], torch.float64).add(WINDOWS)
    assert ran == [0, 1]


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_multimodal", "opt", "bloom", "falcon"])
def test_a_pass_that_was_cut_short_leaves_the_model_as_it_was(name):
    expected = in_use(name).eval()(input_ids=torch.tensor([WINDOWS[0]])).logits
    model = in_use(name)
    before = snapshot(model)
    with untouched(model):
        KeyMoments(model, find_sites(model)[:2]).add(WINDOWS)
    assert_same(before, snapshot(model))
    assert torch.equal(model.eval()(input_ids=torch.tensor([WINDOWS[0]])).logits, expected)


def test_a_key_that_is_not_finite_is_an_error():
    model = tiny.model("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3] = float("inf")
    with untouched(model), pytest.raises(ModelError, match=r"layers\.1\.mlp.*not finite"):
        KeyMoments(model, find_sites(model)).add(WINDOWS)
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_a_site_that_does_not_run_is_an_error():
    model = tiny.model("llama")
    sites = find_sites(model)
    model.model.layers[3].forward = lambda hidden, *a, **k: hidden
    with untouched(model), pytest.raises(ModelError, match="does not run in a forward pass"):
        KeyMoments(model, sites).add(WINDOWS)


def test_a_site_that_runs_twice_is_an_error():
    model = tiny.model("llama")
    model.model.layers[1].mlp.down_proj = model.model.layers[0].mlp.down_proj
    with untouched(model), pytest.raises(ModelError, match="more than once"):
        KeyMoments(model, find_sites(model)).add(WINDOWS)
