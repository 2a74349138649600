"""FT-L and FT-M against a plain training loop on the real weight, float64."""

from __future__ import annotations

import math

import pytest
import torch

from goldenlayers.editors import fact_batch
from goldenlayers.editors.fact_rows import fact_rows
from goldenlayers.editors.fine_tuning import FTL, FTM, exact_factors
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.templates import Templates
from goldenlayers.errors import EditError
from goldenlayers.models.sites import find_sites
from tests import tiny
from tests.editors.reference_training import fact_loss, fine_tune
from tests.editors.trained import (
    NAMES,
    EnoughError,
    agree,
    comes_back,
    edit,
    goes_there_and_back,
    models,
    stop_at,
    stored,
    teachable,
)

HOW = {"lr": 5e-3, "steps": 4}
BOTH = pytest.mark.parametrize("editor", [FTL, FTM], ids=["ft-l", "ft-m"])


@pytest.mark.parametrize("skip", [True, False], ids=["from-the-site", "whole"])
@BOTH
@pytest.mark.parametrize("name", NAMES)
def test_one_fact_equals_the_reference(name, editor, skip):
    model, tokenizer = models(name)
    facts, site = tiny.FACTS[1:2], find_sites(model)[1]
    expected = fine_tune(
        model, tokenizer, facts, site.name, prompt_end=editor.prompt_end, **HOW
    )  # fmt: skip
    with comes_back(model):
        result = edit(editor(**HOW, skip_below=skip), model, tokenizer, facts)
    computed = fact_batch.FROM_SITE if skip else "whole rows"
    assert result.outcomes[0].details["computed"] == computed
    assert len(result.outcomes[0].steps) == HOW["steps"]
    agree(result, model, tokenizer, facts, expected)


@pytest.mark.parametrize("size", [1, 2, 8])
@BOTH
@pytest.mark.parametrize("name", ["gpt2", "opt"])
def test_facts_are_trained_together_in_batches(name, editor, size):
    model, tokenizer = models(name)
    facts, site = tiny.FACTS[:3], find_sites(model)[2]
    how = {**HOW, "batch_size": size, "weight_decay": 0.1}
    expected = fine_tune(
        model, tokenizer, facts, site.name, prompt_end=editor.prompt_end, **how
    )  # fmt: skip
    result = edit(editor(**how), model, tokenizer, facts, layer=2)
    assert result.outcomes[0].details["updates"] == HOW["steps"] * math.ceil(3 / size)
    agree(result, model, tokenizer, facts, expected)


def test_the_settings_and_the_objectives_matter():
    model, tokenizer = models("llama")
    results = [
        stored(model, edit(editor, model, tokenizer, tiny.FACTS[:2]).updates[0])
        for editor in (
            FTL(**HOW), FTM(**HOW), FTM(**HOW, batch_size=2), FTM(**HOW, weight_decay=0.1),
            FTM(**HOW, norm_bound=1e-3),
        )
    ]  # fmt: skip
    for i in range(len(results)):
        for j in range(i):
            assert not torch.allclose(results[i], results[j], atol=1e-6)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_two_agree_where_the_answer_is_one_token(name):
    model, tokenizer = models(name)
    fact = tiny.LAST_TOKEN[0]
    row = fact_rows(model, tokenizer, fact, [""], with_kl=False).bare
    assert len(row.answer) == 1
    found = [edit(e(**HOW), model, tokenizer, [fact]) for e in (FTL, FTM)]
    weights = [stored(model, result.updates[0]) for result in found]
    torch.testing.assert_close(*weights, rtol=0, atol=1e-9)


@BOTH
def test_a_batch_under_the_stop_makes_no_update(editor):
    """A stop between the losses of two facts: one is trained on, the other is not."""
    model, tokenizer = models("llama")
    facts, site = tiny.FACTS[:2], find_sites(model)[1]
    with torch.no_grad():
        losses = [
            float(fact_loss(model, tokenizer, f, prompt_end=editor.prompt_end)) for f in facts
        ]
    high = losses.index(max(losses))
    how = {**HOW, "lr": 1e-5, "stop_loss": max(losses) - 0.05}
    expected = fine_tune(
        model, tokenizer, facts, site.name, prompt_end=editor.prompt_end, **how
    )  # fmt: skip
    result = edit(editor(**how), model, tokenizer, facts)
    assert 0 < expected.updates < HOW["steps"] * 2
    assert result.outcomes[0].details["updates"] == expected.updates
    torch.testing.assert_close(stored(model, result.updates[0]), expected.weight, rtol=0, atol=1e-8)
    assert [o.steps[0].loss for o in result.outcomes][high] == pytest.approx(max(losses))


def test_training_ends_once_the_loss_is_under_the_stop():
    model, tokenizer = teachable()
    facts, site = tiny.FACTS[:1], find_sites(model)[1]
    how = {"lr": 2e-2, "steps": 40, "stop_loss": 0.3}
    expected = fine_tune(model, tokenizer, facts, site.name, prompt_end=False, **how)
    seen = []
    result = edit(
        FTM(**how), model, tokenizer, facts, progress=lambda *what: seen.append(what)
    )  # fmt: skip
    (outcome,) = result.outcomes
    assert 3 < len(expected.losses) < 40
    assert len(outcome.steps) == len(expected.losses)
    assert outcome.details["updates"] == len(expected.losses) - 1
    assert [s.loss < 0.3 for s in outcome.steps] == [False] * (len(outcome.steps) - 1) + [True]
    assert outcome.status == "converged"
    assert outcome.rewritten
    assert outcome.nll_after == pytest.approx(outcome.steps[-1].loss, abs=1e-8)
    assert outcome.reason == (
        f"{outcome.nll_after:.3f} nats a token after {len(outcome.steps)} steps "
        "(loss below the stop)"
    )
    assert [w for w in seen if w[0] == "steps"][-1] == ("steps", 40, 40)
    assert ("answers after", 1, 1) in seen


def test_nothing_is_changed_where_the_loss_is_under_the_stop_at_once():
    model, tokenizer = models("gpt2")
    result = edit(FTM(stop_loss=1e9), model, tokenizer, tiny.FACTS[:2])
    assert result.updates == ()
    for outcome in result.outcomes:
        assert outcome.layers == ()
        assert len(outcome.steps) == 1
        assert outcome.nll_after == outcome.nll_before
        assert "after 1 step the new answer still costs" in outcome.reason


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_bound_holds_and_bites(name):
    model, tokenizer = models(name)
    facts, site = tiny.FACTS[:2], find_sites(model)[1]
    how = {**HOW, "norm_bound": 6e-3}
    expected = fine_tune(model, tokenizer, facts, site.name, prompt_end=False, **how)
    result = edit(FTM(**how), model, tokenizer, facts)
    agree(result, model, tokenizer, facts, expected)
    change = (result.updates[0].left @ result.updates[0].right.T).abs()
    assert change.max() <= 6e-3 + 1e-12
    assert (change > 6e-3 - 1e-12).float().mean() > 0.1
    assert (change < 5e-3).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_what_was_trained_is_what_is_applied(name, dtype):
    """The last loss of a training with one step more is that of the applied edit."""
    model, tokenizer = models(name, dtype)
    facts = tiny.FACTS[:1]
    with comes_back(model):
        one = edit(FTM(lr=1e-2, steps=5), model, tokenizer, facts)
        more = edit(FTM(lr=1e-2, steps=6), model, tokenizer, facts)
    assert one.updates[0].left.dtype == torch.float32
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    after, last = one.outcomes[0].nll_after, more.outcomes[0].steps[-1].loss
    assert after == pytest.approx(last, abs=tolerance)
    assert after < one.outcomes[0].nll_before - 0.5


@BOTH
def test_the_same_again(editor):
    model, tokenizer = models("llama", torch.float32)
    first, second = (edit(editor(**HOW), model, tokenizer, tiny.FACTS[:3]) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("skip", [True, False])
@BOTH
@pytest.mark.parametrize("when", [("steps", 2), ("answers after", 1)])
def test_the_model_comes_back_after_an_exception(editor, skip, when):
    model, tokenizer = models("gpt2", torch.float32)
    with comes_back(model), pytest.raises(EnoughError):
        edit(
            editor(**HOW, skip_below=skip), model, tokenizer, tiny.FACTS[:2],
            progress=stop_at(*when),
        )  # fmt: skip


def test_a_model_that_is_not_frozen_gets_no_gradients():
    model, tokenizer = models("llama")
    site = find_sites(model)[1]
    request = EditRequest(model, tokenizer, tiny.FACTS[:1], [site], Templates("own", ("",)))
    with comes_back(model):
        FTM(**HOW, skip_below=False).edit(request)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_is_trained_whatever_the_caller_is_about(mode):
    model, tokenizer = models("llama")
    plain = edit(FTM(**HOW), model, tokenizer, tiny.FACTS[:1])
    with mode():
        again = edit(FTM(**HOW), model, tokenizer, tiny.FACTS[:1])
    assert again == plain


@pytest.mark.parametrize("layer", [0, 3])
def test_the_first_and_the_last_layer_can_be_trained(layer):
    model, tokenizer = models("llama")
    facts, site = tiny.FACTS[:1], find_sites(model)[layer]
    expected = fine_tune(model, tokenizer, facts, site.name, prompt_end=False, **HOW)
    result = edit(FTM(**HOW), model, tokenizer, facts, layer=layer)
    agree(result, model, tokenizer, facts, expected)
    assert result.outcomes[0].layers == (layer,)


def test_a_fallback_is_named_and_gives_the_same(monkeypatch):
    class Broken:
        def __init__(self, *args):
            raise TypeError("no cache here")

    model, tokenizer = models("llama")
    plain = edit(FTM(**HOW), model, tokenizer, tiny.FACTS[:1])
    monkeypatch.setattr(fact_batch, "Replay", Broken)
    result = edit(FTM(**HOW), model, tokenizer, tiny.FACTS[:1])
    computed = result.outcomes[0].details["computed"]
    assert computed == "whole rows, because skipping failed: TypeError no cache here"
    torch.testing.assert_close(result.updates[0].right, plain.updates[0].right, rtol=0, atol=1e-9)


@BOTH
def test_a_broken_model_is_an_error(editor):
    model, tokenizer = models("gpt2", torch.float32)
    with torch.no_grad():
        model.transformer.ln_f.weight.fill_(float("inf"))
    with comes_back(model), pytest.raises(EditError, match=r"loss is nan at step 0.*float32"):
        edit(editor(**HOW), model, tokenizer, tiny.FACTS[:2])


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (6, 6), (1, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_full_matrix_is_factored_exactly(shape, dtype):
    change = torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    for given in (change, change.T.contiguous().T):
        left, right = exact_factors(given)
        assert left.dtype == right.dtype == dtype
        assert left.shape == (shape[0], min(shape))
        assert right.shape == (shape[1], min(shape))
        assert left.is_contiguous()
        assert right.is_contiguous()
        assert torch.equal(left @ right.T, change)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_there_and_back(name, tmp_path):
    goes_there_and_back(FTM(lr=1e-2, steps=6), name, tmp_path)
