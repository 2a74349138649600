"""Every pass on a device that runs out of memory: the results of an undisturbed run."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from goldenlayers.editors import fact_value
from goldenlayers.editors.fact_value import PREFIX_REUSE
from goldenlayers.editors.pmet import PMET
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.rome import RROME
from goldenlayers.errors import MemoryShortError
from goldenlayers.locators.find import find
from goldenlayers.metrics import decode as decoding
from goldenlayers.metrics.decode import TopK, decode
from goldenlayers.metrics.predict import predict
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.models.text import encode_pairs, encode_prompts
from goldenlayers.passes.greedy import greedy_continuations
from goldenlayers.passes.moments import KeyMoments
from goldenlayers.passes.sampling import sample
from goldenlayers.sweep import predict_edited
from goldenlayers.sweep.engine import Sweep
from tests import tiny
from tests.editors.test_batch import moment
from tests.locators.traced_facts import known
from tests.short_memory import ERRORS, short, short_backward
from tests.sweep.test_engine import FACTS, TEMPLATES, VALUE

BROKEN = RuntimeError("shapes cannot be multiplied")


def chosen(model, method, **options):
    facts = known("llama") if method == "cma" else tiny.FACTS
    return find(model, tiny.tokenizer("llama"), facts, method, cache=False, **options)


@pytest.mark.parametrize(
    ("method", "most", "settings", "kind"),
    [
        *(("lga", 60, {}, kind) for kind in ERRORS),
        ("lga", 60, {"old_answer": "model"}, "gpu"),
        ("lga", 60, {"batch_tokens": 200}, "gpu"),
        ("gradient-norm", 60, {}, "gpu"),
        ("cma", 60, {"draws": 3}, "gpu"),
        ("cma", 60, {"draws": 3}, "cpu"),
    ],
)
def test_layers_are_ranked_as_if_nothing_had_happened(method, most, settings, kind):
    model, said = tiny.model("llama"), []
    expected = chosen(model, method, **settings)
    with short(model, most, kind) as fine:
        found = chosen(model, method, say=said.append, **settings)
    assert found.order == expected.order
    for name, values in expected.fact_scores.items():
        np.testing.assert_allclose(found.fact_scores[name], values, rtol=1e-8, atol=1e-12)
    assert any("memory ran out with" in line for line in said)
    assert max(fine) <= most
    assert found.skipped == expected.skipped
    if method == "cma":
        assert found.details["computed"]["plain_facts"] == 0


@pytest.mark.parametrize("method", ["lga", "gradient-norm", "cma"])
def test_one_fact_that_does_not_fit_is_an_error_of_ours(method):
    model = tiny.model("llama")
    told = pytest.raises(MemoryShortError, match=r"memory ran out with .*--dtype bfloat16")
    with short(model, 3), told:
        chosen(model, method)


@pytest.mark.parametrize("method", ["lga", "gradient-norm"])
def test_another_error_of_a_pass_goes_through(method):
    def fail(*args):
        raise BROKEN

    model = tiny.model("llama")
    model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        chosen(model, method)


def rows():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    prompts = encode_prompts(tokenizer, [f.prompt for f in tiny.FACTS])
    return model, prompts + prompts[:3], encode_pairs(
        tokenizer, [(f.prompt, f.target_new) for f in tiny.FACTS]
    )  # fmt: skip


def test_questions_and_texts():
    model, prompts, pairs = rows()
    lengths = [3, 1, 5, 2, 4, 3, 3, 2, 2, 2]
    seeds = list(range(10))

    def said():
        return [
            greedy_continuations(model, prompts, lengths),
            decode(model, prompts, lengths),
            decode(model, prompts, lengths, TopK(seeds, 5)),
            sample(model, prompts, 4, seed=3),
            [p.argmax for p in predict(model, pairs)],
        ]

    expected = said()
    predicted = [p.log_probs for p in predict(model, pairs)]
    # in float64 prompts of one length share a batch, so some prompts are there often
    with short(model, max(len(row.ids) for row in pairs)):
        assert said() == expected
        for a, b in zip(predict(model, pairs), predicted, strict=True):
            assert a.log_probs == pytest.approx(b)


def test_a_text_that_is_written_again_draws_the_same():
    """Memory runs out in the middle of a text, when its generators have moved on."""
    model = tiny.model("llama", torch.float32)
    prompts = [(5, 6, 7), (8, 9), (10, 11, 12), (4, 5)]
    expected = decode(model, prompts, [6] * 4, TopK([3, 1, 4, 1], 5))
    passes, real = [0], decoding.answer_logits

    def failing(*args):
        passes[0] += 1
        if passes[0] == 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(*args)

    decoding.answer_logits = failing
    try:
        assert decode(model, prompts, [6] * 4, TopK([3, 1, 4, 1], 5)) == expected
    finally:
        decoding.answer_logits = real
    assert passes[0] > 10


def swept(model, editor=None, **options):
    sites = find_sites(model)
    solvers = {site.layer: moment(site).solver() for site in sites} if editor else {}
    return Sweep(
        model, tiny.tokenizer("llama"), sites, editor or RROME(**VALUE), TEMPLATES, solvers,
        **options,
    )  # fmt: skip


def assert_alike(found, expected):
    for ours, plain in zip(found, expected, strict=True):
        assert ours.computed == plain.computed == "growing batch"
        assert (ours.fact, ours.layer, ours.status) == (plain.fact, plain.layer, plain.status)
        assert ours.steps == plain.steps
        assert ours.update_norm == pytest.approx(plain.update_norm, rel=1e-8)
        assert ours.scores == pytest.approx(plain.scores, abs=1e-8)


@pytest.mark.parametrize("most", [2000, 700, 300])
def test_a_sweep(most):
    model = tiny.model("llama")
    expected = swept(model).run(FACTS)
    said = []
    with short(model, most) as fine:
        found = swept(model, say=said.append).run(FACTS)
    assert_alike(found, expected)
    assert bool(said) == (most < 2000)
    assert max(fine) <= most


def test_values_that_wait_keep_what_they_have(monkeypatch):
    """Memory runs out at the third step: no value loses the two that it has made."""
    model = tiny.model("llama")
    expected = swept(model).run(FACTS[:2])
    real, runs = fact_value.Replay.logits, []

    def failing(self, groups):
        runs.append(len(groups))
        if len(runs) >= 7 and len(groups) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(self, groups)

    with monkeypatch.context() as patch:
        patch.setattr(fact_value.Replay, "logits", failing)
        patch.setattr(predict_edited.Replay, "logits", failing)
        found = swept(model).run(FACTS[:2])
    assert_alike(found, expected)
    runs = [n for n in runs if n > 1]  # single ones look whether the last layer can do anything
    assert runs[:2] == [8, 6]  # it cannot, and is out after the first step
    assert runs[2:5] == [6, 3, 3]


@pytest.mark.parametrize("editor", [None, PMET(**VALUE, lam=0.1)])
def test_a_backward_pass_that_fails_is_as_if_not_begun(editor):
    model = tiny.model("llama")
    expected = swept(model, editor).run(FACTS[:2])
    with short_backward(2):
        found = swept(model, editor).run(FACTS[:2])
    assert_alike(found, expected)


def test_one_value_that_does_not_fit():
    model = tiny.model("llama")
    with short_backward(0), pytest.raises(MemoryShortError, match="one value alone"):
        swept(model).run(FACTS[:1])
    with short(model, 20), pytest.raises(MemoryShortError, match="memory ran out with"):
        swept(model).run(FACTS[:1])


def test_a_sweep_does_not_take_other_errors_for_a_lack_of_memory(monkeypatch):
    model = tiny.model("llama")

    def failing(self, groups):
        raise BROKEN

    monkeypatch.setattr(fact_value.Replay, "logits", failing)
    found = swept(model).run(FACTS[:1])
    assert all("shapes cannot be multiplied" in o.computed for o in found)


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_values_of_a_batch_of_facts(kind):
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    sites = find_sites(model)[1:3]
    request = EditRequest(
        model, tokenizer, tiny.FACTS, sites, TEMPLATES, {s.layer: moment(s).solver() for s in sites}
    )
    editor = PMET(**VALUE, lam=0.1)
    with untouched(model):
        expected = editor.edit(request)
        with short(model, 250, kind):
            found = editor.edit(request)
    for ours, plain in zip(found.updates, expected.updates, strict=True):
        torch.testing.assert_close(ours.left, plain.left, rtol=1e-7, atol=1e-10)
        torch.testing.assert_close(ours.right, plain.right, rtol=1e-7, atol=1e-10)
    for ours, plain in zip(found.outcomes, expected.outcomes, strict=True):
        assert ours.details["computed"] == plain.details["computed"] == PREFIX_REUSE


@pytest.mark.parametrize("at", [None, "model.layers.2"])
def test_second_moments_hold_each_token_once(at):
    """Memory runs out when some layers' sums have the batch and others do not."""
    windows = [tuple(range(3 + i, 20 + 2 * i)) for i in range(6)]
    model, said = tiny.model("llama"), []
    sites = find_sites(model)
    with untouched(model):
        whole = KeyMoments(model, sites, torch.float64)
        parts = KeyMoments(model, sites, torch.float64, said.append)
        whole.add(windows)
        whole.add(windows[:5])
        with short(model, 60, at=at) as fine:
            parts.add(windows)
            tried = len(fine)
            parts.add(windows[:5])
    assert parts.tokens == whole.tokens
    for site in sites:
        torch.testing.assert_close(
            parts.whole(site.name), whole.whole(site.name), rtol=1e-12, atol=1e-14
        )
    assert max(fine) <= 60
    assert len(said) == 2  # 162 tokens, and 81; the bound is remembered
    assert tried >= 3


def test_a_row_of_blocks_that_fails_is_not_added_twice(monkeypatch):
    from goldenlayers.passes import moments

    monkeypatch.setattr(moments, "MIN_BLOCK", 8)
    model = tiny.model("llama")
    sites, windows = find_sites(model), [tuple(range(3, 20)), tuple(range(5, 22))]
    real, calls = moments._add_row, [0]

    def failing(total, keys, row):
        calls[0] += 1
        if calls[0] == 9:  # in the middle of the second site's sum
            raise torch.OutOfMemoryError("CUDA out of memory.")
        real(total, keys, row)

    with untouched(model):
        whole = KeyMoments(model, sites, torch.float64)
        whole.add(windows)
        monkeypatch.setattr(moments, "_add_row", failing)
        parts = KeyMoments(model, sites, torch.float64)
        parts.add(windows)
        with short(model, 5), pytest.raises(MemoryShortError, match="one window alone"):
            parts.add(windows)
    for site in sites:
        total = parts.whole(site.name)
        torch.testing.assert_close(total, whole.whole(site.name), rtol=1e-12, atol=1e-14)


def test_the_model_comes_back_as_it_was():
    model = tiny.model("llama")
    before = {n: p.clone() for n, p in model.named_parameters()}
    with short(model, 300):
        swept(model).run([dataclasses.replace(f, id=f"{f.id}x") for f in FACTS])
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
