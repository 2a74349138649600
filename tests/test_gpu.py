"""CPU and GPU agree: the same weights, facts and seed on both. Only where there is a GPU."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from goldenlayers.editors.rome import RROME
from goldenlayers.locators.find import find
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.passes.moments import KeyMoments
from goldenlayers.passes.transfers import fetched, on_device
from goldenlayers.sweep.engine import Sweep
from tests import tiny
from tests.locators.traced_facts import known
from tests.sweep.test_engine import FACTS, TEMPLATES, VALUE

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
]
# Of |g_old||g_new|. Products are summed in another order on a GPU, and some models round to float32
# inside whatever their dtype.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}


def both(name, dtype=torch.float64):
    """The same model on the CPU and on the GPU."""
    model = tiny.model(name, dtype)
    return model, copy.deepcopy(model).to("cuda")


@pytest.mark.parametrize("name", tiny.MODELS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_lga_scores_and_golden_layer(name, dtype):
    cpu, gpu = (
        find(m, tiny.tokenizer(name), tiny.FACTS, method="lga", cache=False)
        for m in both(name, dtype)
    )
    tolerance = 1e-5 if name in tiny.FLOAT32_INSIDE else TOLERANCE[dtype]
    scale = cpu.fact_scores["old_norm"] * cpu.fact_scores["new_norm"]
    error = np.abs(gpu.fact_scores["score"] - cpu.fact_scores["score"]) / scale
    assert error.max() < max(tolerance, TOLERANCE[dtype])
    assert gpu.golden == cpu.golden


@pytest.mark.parametrize("method", ["gradient-norm", "cma", "attribution-patching"])
def test_other_ways_to_choose(method):
    facts = tiny.FACTS if method == "gradient-norm" else known("llama")
    cpu, gpu = (find(m, tiny.tokenizer("llama"), facts, method, cache=False) for m in both("llama"))
    assert gpu.golden == cpu.golden
    for name, values in cpu.fact_scores.items():
        np.testing.assert_allclose(gpu.fact_scores[name], values, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_text"])
def test_a_sweep(name):
    cpu, gpu = (
        Sweep(m, tiny.tokenizer(name), find_sites(m), RROME(**VALUE), TEMPLATES).run(FACTS)
        for m in both(name)
    )
    for a, b in zip(cpu, gpu, strict=True):
        assert a.computed == b.computed == "growing batch"
        assert (a.status, a.steps) == (b.status, b.steps)
        assert b.update_norm == pytest.approx(a.update_norm, rel=1e-6)
        assert b.scores == pytest.approx(a.scores, abs=1e-6)


def test_second_moments():
    sums = []
    for model in both("llama"):
        with untouched(model):
            moments = KeyMoments(model, find_sites(model), torch.float64)
            moments.add([(1, 7, 9, 30), (5, 6)])
        sums.append([moments.whole(site.name) for site in find_sites(model)])
    for a, b in zip(*sums, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-12)


def test_numbers_there_and_back():
    there = on_device([3, 1, 2], "cuda")
    assert there.device.type == "cuda"
    assert there.tolist() == [3, 1, 2]
    assert fetched([there[0], there.sum() > 5]) == [3.0, 1.0]
