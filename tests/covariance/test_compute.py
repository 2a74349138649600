"""`key_covariance`: right sums, known cost, odd input."""

from __future__ import annotations

import json

import pytest
import torch

import goldenlayers
from goldenlayers.covariance import estimate
from goldenlayers.covariance.compute import TOKENS_PER_FEATURE, key_covariance
from goldenlayers.covariance.windows import beginning, capped, cut
from goldenlayers.errors import ModelError, SettingsError
from goldenlayers.models.sites import find_sites
from tests import tiny
from tests.covariance.check import StopError, assert_equal, sums
from tests.covariance.conftest import SMALL
from tests.models.test_guard import assert_same, in_use, snapshot
from tests.passes.test_moments import by_hand, relative


@pytest.mark.parametrize("name", tiny.MODELS)
def test_equals_a_loop_over_single_windows(name, text):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    found = key_covariance(model, tokenizer, text=text, dtype="float64", cache=False, **SMALL)
    documents = [[json.loads(line)["text"]] for line in text.read_text().splitlines()]
    windows = list(capped(cut(documents, tokenizer, 12, beginning(tokenizer)), 150))
    assert sum(map(len, windows)) == 150
    assert len({len(w) for w in windows}) > 1
    sites = find_sites(model)
    assert list(found) == [s.layer for s in sites]
    for site in sites:
        moment = found[site.layer]
        assert (moment.site, moment.tokens, moment.path) == (site.name, 150, None)
        tolerance = 1e-6 if name in tiny.FLOAT32_INSIDE else 1e-12
        assert relative(moment.sum, by_hand(model, site, windows)) < tolerance


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "bloom", "gemma3_multimodal"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_writes_its_own_text(name, dtype):
    model, tokenizer = tiny.model(name, dtype), tiny.tokenizer(name)
    run = [
        key_covariance(model, tokenizer, [1, 2], length=16, tokens=500, cache=False, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert_equal(sums(run[0]), sums(run[1]))
    assert not torch.equal(run[0][1].sum, run[2][1].sum)
    assert run[0][1].tokens == 500
    k = torch.ones(run[0][1].width)
    assert run[0][1].solver().solve(k).isfinite().all()


def test_by_default_a_few_tokens_per_feature(llama, cache):
    found = key_covariance(llama, tiny.tokenizer("llama"), [0], cache=cache, length=1000)
    assert found[0].tokens == TOKENS_PER_FEATURE * 48
    assert found[0].key["length"] == 128  # the model's context, not 1,000


def test_the_model_goes_back_as_it_came(text, cache):
    model = in_use()
    before = snapshot(model)
    key_covariance(model, tiny.tokenizer("llama"), text=text, cache=cache, **SMALL)
    key_covariance(model, tiny.tokenizer("llama"), cache=cache, **SMALL)
    assert_same(before, snapshot(model))

    def fail(stage, done, total):
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        key_covariance(model, tiny.tokenizer("llama"), cache=False, progress=fail, **SMALL)
    assert_same(before, snapshot(model))


class TestCost:
    def test_several_passes_equal_one(self, compute, tmp_path):
        expected = sums(compute())
        said, estimates = [], []
        one = 48 * 48 * 4
        found = compute(
            cache=tmp_path / "other",
            max_memory=2 * one + 5,
            say=said.append,
            before=estimates.append,
        )
        assert estimates[0].passes == 2
        assert any("2 passes" in line for line in said)
        assert_equal(sums(found), expected)
        assert_equal(sums(compute(cache=False, max_memory=one)), expected)
        assert_equal(
            sums(compute(cache=False, text="model", max_memory=one)),
            sums(compute(cache=False, text="model")),
        )

    def test_the_sum_of_one_layer_is_too_large(self, compute):
        with pytest.raises(SettingsError, match=r"layer 0: .* 9 kB \(48 x 48 float32\)"):
            compute(max_memory=48 * 48 * 4 - 1)

    def test_free_memory_decides(self, compute, monkeypatch):
        monkeypatch.setattr(estimate, "free_memory", lambda device: 3 * 48 * 48 * 4)
        found = compute(cache=False)
        assert found.estimate.passes == 2

    def test_free_memory_is_there(self):
        assert estimate.free_memory(torch.device("cpu")) > 1e6

    def test_the_estimate_comes_first_and_can_stop_it(self, compute, cache):
        def stop(cost):
            assert cost.layers == (0, 1, 2, 3)
            assert cost.tokens == 150
            assert cost.seconds > 0
            assert cost.disk_bytes == 4 * 48 * 48 * 4
            assert cost.memory_bytes > cost.disk_bytes
            raise StopError

        with pytest.raises(StopError):
            compute(before=stop)
        assert not list(cache.glob("layer-*"))

    def test_text_that_is_to_be_sampled_costs_memory_and_time(self, compute):
        settings = {"text": "model", "length": 64, "tokens": 64 * 40, "batch_tokens": 1}
        first = compute(layers=[0], **settings).estimate
        # 4 layers, keys and values, 2 heads of 8, 32 rows of 64 tokens, float32
        assert first.memory_bytes == 48 * 48 * 4 + 4 * 2 * 2 * 8 * 32 * 64 * 4
        second = compute(layers=[1], **settings).estimate  # the text is there by now
        assert second.memory_bytes == 48 * 48 * 4 + 4 * 48 * 4

    def test_progress_ends_with_all_tokens(self, compute):
        seen = []
        compute(progress=lambda *call: seen.append(call))
        assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
        assert seen[-1] == ("keys", 150, 150)


class TestOddInput:
    def test_a_text_that_ends_early(self, compute, text):
        text.write_text('{"text": "The capital of Norland"}\n')
        said = []
        found = compute(say=said.append)
        tokens = len(tiny.tokenizer("llama")("The capital of Norland")["input_ids"])
        assert found[0].tokens == tokens < 150
        assert any(f"ended after {tokens} of 150" in line for line in said)
        assert found[0].key["tokens"] == 150
        assert found[0].solver().solve(torch.ones(48)).isfinite().all()

    @pytest.mark.parametrize("content", ["", "\n\n", '{"text": ""}\n'])
    def test_an_empty_text(self, compute, text, cache, content):
        text.write_text(content)
        with pytest.raises(SettingsError, match="no tokens"):
            compute()
        assert not list(cache.glob("*"))

    def test_one_token(self, compute):
        assert compute(tokens=1)[2].tokens == 1

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"tokens": 0}, "tokens 0"),
            ({"batch_tokens": 0}, "batch_tokens 0"),
            ({"length": 1}, "length 1: expected at least 2"),
            ({"length": -5}, "length -5"),
            ({"dtype": "float16"}, "dtype 'float16'"),
            ({"layers": [9]}, "layer 9 does not exist"),
            ({"text": "none.txt"}, "No such file"),
            ({"text": "model", "seed": -1}, "seed -1"),
        ],
    )
    def test_settings_out_of_range(self, compute, settings, message):
        with pytest.raises(SettingsError, match=message):
            compute(**settings)

    def test_a_tokenizer_of_another_model(self, text, cache):
        model = tiny.model("llama", torch.float32)
        model.resize_token_embeddings(60)
        with pytest.raises(ModelError, match="vocabulary of 60"):
            key_covariance(model, tiny.tokenizer("llama"), text=text, cache=cache, **SMALL)

    def test_windows_larger_than_the_batch(self, compute):
        assert compute(batch_tokens=1)[0].tokens == 150

    def test_a_source_of_ones_own(self, compute):
        class Mine:
            def identity(self):
                return {"kind": "mine"}

            def windows(self, request):
                yield (1, 5, 6)
                yield (1, 7)

        found = compute(text=Mine())
        assert found[1].tokens == 5


def test_public_names():
    assert goldenlayers.key_covariance is key_covariance
    assert goldenlayers.Covariances.__name__ == "Covariances"


@pytest.mark.bundled
def test_the_bundled_model(bundled):
    found = key_covariance(bundled.model, bundled.tokenizer, [2], length=12, tokens=36, cache=False)
    moment = found[2]
    assert (moment.width, moment.tokens) == (1536, 36)
    k = torch.randn(1536, generator=torch.Generator().manual_seed(0))
    u = moment.solver().solve(k)
    torch.testing.assert_close(moment.covariance() @ u, k.double())
