"""ROME and R-ROME against the explicit reference, float64, all tiny architectures."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.rome import ROME, RROME, rank_one
from goldenlayers.editors.templates import Templates
from goldenlayers.errors import EditError, FactError, SettingsError
from goldenlayers.facts import Fact
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from tests import tiny
from tests.editors import reference_rome

PREFIXES = ("", "Blue Kite. ", "In the north, people say: ")
VALUE = {"lr": 0.05, "steps": 5, "weight_decay": 0.3, "clamp": 3.0, "kl_factor": 0.5}
ROUNDED = dict.fromkeys(tiny.FLOAT32_INSIDE, 1e-5)


def edit(editor, model, tokenizer, facts, layer, *, solvers=None, templates=PREFIXES):
    trace = []
    with untouched(model):
        result = editor.edit(
            EditRequest(
                model,
                tokenizer,
                facts,
                [find_sites(model)[layer]],
                Templates("own", templates),
                solvers or {},
                on_step=lambda step, delta: trace.append((step, delta)),
            )
        )
    return result, trace


def weight_update(update):
    return update.left @ update.right.T


class Inverse:
    """A solver by the book."""

    def __init__(self, covariance):
        self.inverse = torch.linalg.inv(covariance)

    def solve(self, k):
        return self.inverse @ k


@pytest.mark.parametrize("reuse", [True, False], ids=["prefix-reuse", "whole-rows"])
@pytest.mark.parametrize("name", tiny.MODELS)
def test_every_step_and_the_update_equal_the_reference(name, reuse):
    model, tokenizer, fact = tiny.model(name), tiny.tokenizer(name), tiny.FACTS[0]
    site = find_sites(model)[1]
    expected = reference_rome.rome(model, tokenizer, fact, site.name, PREFIXES, **VALUE)
    (result, trace) = edit(RROME(**VALUE, prefix_reuse=reuse), model, tokenizer, [fact], 1)

    tolerance = ROUNDED.get(name, 1e-9)
    assert result.outcomes[0].details["computed"] == ("prefix reuse" if reuse else "whole rows")
    assert len(trace) == len(expected.losses) == VALUE["steps"]
    for (step, delta), losses, wanted in zip(trace, expected.losses, expected.deltas, strict=True):
        assert (step.loss, step.nll, step.kl, step.decay) == pytest.approx(losses, abs=tolerance)
        torch.testing.assert_close(delta, wanted, rtol=0, atol=tolerance)
    assert len({round(step.nll, 7) for step, _ in trace}) == VALUE["steps"]  # something is trained
    torch.testing.assert_close(
        weight_update(result.updates[0]), expected.update, rtol=0, atol=10 * tolerance
    )


@pytest.mark.parametrize("averaged", [True, False], ids=["r-rome", "rome"])
@pytest.mark.parametrize("value_from", ["prompt", "mean"])
@pytest.mark.parametrize("with_covariance", [True, False])
@pytest.mark.parametrize("name", ["gpt2", "llama", "opt", "gpt_neox", "olmo2", "falcon"])
def test_both_variants_with_and_without_covariance(name, averaged, value_from, with_covariance):
    model, tokenizer, fact = tiny.model(name), tiny.tokenizer(name), tiny.FACTS[1]
    site = find_sites(model)[2]
    torch.manual_seed(0)
    some = torch.randn(3 * site.d_in, site.d_in, dtype=torch.float64)
    covariance = some.T @ some / len(some) if with_covariance else None
    expected = reference_rome.rome(
        model, tokenizer, fact, site.name, PREFIXES, **VALUE,
        averaged=averaged, value_from=value_from, covariance=covariance,
    )  # fmt: skip
    editor = (RROME if averaged else ROME)(**VALUE, value_from=value_from)
    solvers = {2: Inverse(covariance)} if with_covariance else {}
    result, _ = edit(editor, model, tokenizer, [fact], 2, solvers=solvers)
    torch.testing.assert_close(
        weight_update(result.updates[0]), expected.update, rtol=1e-7, atol=1e-8
    )


def test_the_variants_differ():
    model, tokenizer, fact = tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[0]
    results = [
        weight_update(edit(e(**VALUE, value_from=v), model, tokenizer, [fact], 1)[0].updates[0])
        for e in (ROME, RROME)
        for v in ("prompt", "mean")
    ]
    for i in range(4):
        for j in range(i):
            assert not torch.allclose(results[i], results[j], atol=1e-6)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bloom", "opt"])
def test_r_rome_writes_the_value_for_the_averaged_key(name):
    """What the update is for: the edited site maps the mean key to v*."""
    model, tokenizer, fact = tiny.model(name), tiny.tokenizer(name), tiny.FACTS[0]
    site = find_sites(model)[1]
    reference = reference_rome.rome(model, tokenizer, fact, site.name, PREFIXES, **VALUE)
    result, trace = edit(RROME(**VALUE), model, tokenizer, [fact], 1)
    mean = reference.keys.mean(0)
    before = model.get_submodule(site.name)(mean)
    after = before + weight_update(result.updates[0]) @ mean
    torch.testing.assert_close(after, reference.outputs[0] + trace[-1][1], rtol=0, atol=1e-5)


def agree(model, tokenizer, fact, layer, settings):
    """Edit, compare every step and the update with the reference, return both."""
    site = find_sites(model)[layer]
    expected = reference_rome.rome(model, tokenizer, fact, site.name, PREFIXES, **settings)
    result, trace = edit(RROME(**settings), model, tokenizer, [fact], layer)
    assert len(trace) == len(expected.losses)
    for (step, delta), losses, wanted in zip(trace, expected.losses, expected.deltas, strict=True):
        assert (step.loss, step.nll, step.kl, step.decay) == pytest.approx(losses, abs=1e-9)
        torch.testing.assert_close(delta, wanted, rtol=0, atol=1e-9)
    torch.testing.assert_close(weight_update(result.updates[0]), expected.update, rtol=0, atol=1e-8)
    return result, trace


@pytest.mark.parametrize("name", ["gpt2", "llama", "opt", "gpt_neox", "olmo2", "falcon"])
def test_a_clamp_that_bites(name):
    settings = VALUE | {"clamp": 0.2, "lr": 0.2}
    result, trace = agree(tiny.model(name), tiny.tokenizer(name), tiny.FACTS[0], 1, settings)
    bound = 0.2 * result.outcomes[0].details["v0_norm"]
    norms = [step.norm for step, _ in trace[1:]]
    assert max(norms) == pytest.approx(bound)


def test_the_total_loss_decides_the_stop_not_the_answer_alone():
    model, tokenizer, fact = tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[0]
    settings = VALUE | {"lr": 0.2, "steps": 12, "weight_decay": 2.0, "clamp": 20.0}
    _, trace = agree(model, tokenizer, fact, 1, settings)
    totals, answers = [s.loss for s, _ in trace], [s.nll for s, _ in trace]
    # a stop between a step's answer loss and its total: the answer alone would stop there
    k = next(i for i in range(2, 12) if answers[i] < min(totals[: i + 1]))
    stop = (answers[k] + min(totals[: k + 1])) / 2
    _, stopped = agree(model, tokenizer, fact, 1, settings | {"stop_loss": stop})
    first = next((i for i, total in enumerate(totals) if total < stop), len(totals) - 1)
    assert len(stopped) == first + 1 > k + 1


def test_a_value_that_the_weight_does_not_take_is_not_converged(monkeypatch):
    from goldenlayers.editors import rome

    monkeypatch.setattr(rome, "answer_fit", lambda model, rows: (5.0, False))
    model, tokenizer, fact = tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[0]
    result, _ = edit(RROME(**VALUE, converged_below=1e3), model, tokenizer, [fact], 1)
    assert result.outcomes[0].status == "not converged"
    assert "does not make the bare prompt say the new answer (5.00" in result.outcomes[0].reason
    monkeypatch.setattr(rome, "answer_fit", lambda model, rows: (0.1, True))
    result, _ = edit(RROME(**VALUE, converged_below=1e3), model, tokenizer, [fact], 1)
    assert result.outcomes[0].status == "converged"


def test_an_answer_that_is_certain_already_is_no_failure():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    result, _ = edit(RROME(**VALUE, stop_loss=1e9), model, tokenizer, [tiny.FACTS[0]], 1)
    assert result.outcomes[0].status != "unreached"
    assert len(result.outcomes[0].steps) == 1


def test_a_gradient_lost_in_rounding_is_not_taken_for_an_unreached_layer(monkeypatch):
    from goldenlayers.editors import value

    grad = torch.autograd.grad
    monkeypatch.setattr(
        value.torch.autograd, "grad", lambda *a, **k: tuple(torch.zeros_like(g) for g in grad(*a))
    )
    model, tokenizer, fact = tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[0]
    for layer, status in ((1, "not converged"), (3, "unreached")):
        result, _ = edit(RROME(**VALUE), model, tokenizer, [fact], layer)
        assert result.outcomes[0].status == status
    result, _ = edit(RROME(**VALUE), model, tokenizer, [fact], 1)
    assert "lost in rounding" in result.outcomes[0].reason


@pytest.mark.parametrize("reuse", [True, False])
def test_a_broken_model_is_an_outcome_not_a_crash(reuse):
    model, tokenizer = tiny.model("gpt2", torch.float32), tiny.tokenizer("gpt2")
    with torch.no_grad():
        model.transformer.ln_f.weight.fill_(float("inf"))
    result, _ = edit(RROME(**VALUE, prefix_reuse=reuse), model, tokenizer, tiny.FACTS[:2], 1)
    assert [o.status for o in result.outcomes] == ["not converged"] * 2
    assert "not finite in torch.float32" in result.outcomes[0].reason
    assert result.updates == ()
    assert result.outcomes[0].nll_after == 1e4


def test_an_error_of_the_callers_own_goes_through():
    model, tokenizer, fact = tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[0]
    seen = []

    def on_step(step, delta):
        seen.append(step)
        if len(seen) == 3:
            raise ValueError("enough")

    sites = [find_sites(model)[1]]
    request = EditRequest(
        model, tokenizer, [fact], sites, Templates("own", PREFIXES), on_step=on_step
    )
    with untouched(model), pytest.raises(ValueError, match="enough"):
        RROME(**VALUE).edit(request)
    assert len(seen) == 3


def test_early_stop_comes_before_the_update():
    model, tokenizer, fact = tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[0]
    _, trace = edit(RROME(**VALUE, stop_loss=1e9), model, tokenizer, [fact], 1)
    assert len(trace) == 1
    assert not trace[0][1].any()
    _, trace = edit(RROME(**(VALUE | {"steps": 1})), model, tokenizer, [fact], 1)
    assert len(trace) == 1


def test_the_clamp_holds():
    model, tokenizer, fact = tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[0]
    result, trace = edit(RROME(**(VALUE | {"clamp": 0.1})), model, tokenizer, [fact], 1)
    bound = 0.1 * result.outcomes[0].details["v0_norm"]
    assert trace[-1][0].norm == pytest.approx(bound)


def test_the_last_layer_cannot_carry_an_edit_that_goes_on_after_the_subject():
    model, tokenizer, fact = tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[0]
    result, _ = edit(RROME(**VALUE), model, tokenizer, [fact], 3)
    outcome = result.outcomes[0]
    assert outcome.status == "unreached"
    assert "layer 3 cannot carry the edit" in outcome.reason
    assert f"{outcome.steps[-1].nll:.2f}" in outcome.reason
    assert result.updates == ()
    assert outcome.nll_after == pytest.approx(outcome.nll_before)


def test_the_last_layer_can_where_the_prompt_ends_with_the_subject():
    fact = Fact("e", "Korvo", "They went to Korvo", "mark", "crown")
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    result, _ = edit(RROME(**VALUE), model, tokenizer, [fact], 3)
    assert result.outcomes[0].status != "unreached"
    assert result.outcomes[0].nll_after < result.outcomes[0].nll_before


def test_a_value_that_does_not_converge_is_said_to():
    model, tokenizer, fact = tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[0]
    result, _ = edit(RROME(**(VALUE | {"lr": 1e-6})), model, tokenizer, [fact], 1)
    outcome = result.outcomes[0]
    assert outcome.status == "not converged"
    assert not outcome.converged
    assert f"{outcome.steps[-1].nll:.2f} nats" in outcome.reason


def test_facts_are_edited_one_after_another_into_the_edited_model():
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer("gpt2")
    facts = tiny.FACTS[:3]
    site = find_sites(model)[1]
    weight = model.get_submodule(site.name).weight
    base = weight.detach().clone()
    result, _ = edit(RROME(**VALUE), model, tokenizer, facts, 1)
    assert torch.equal(weight, base)
    assert result.updates[0].left.shape == (32, 3)
    for i, fact in enumerate(facts):
        expected = reference_rome.rome(model, tokenizer, fact, site.name, PREFIXES, **VALUE)
        update = result.updates[0]
        one = update.left[:, i : i + 1] @ update.right[:, i : i + 1].T
        torch.testing.assert_close(one, expected.update, rtol=0, atol=1e-8)
        with torch.no_grad():
            weight += expected.update.T  # Conv1D keeps the transpose


def test_a_subject_twice_in_the_prompt():
    fact = Fact("t", "Korvo", "Korvo is old. The coin of Korvo is the", "mark", "crown")
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    last, _ = edit(RROME(**VALUE), model, tokenizer, [fact], 1)
    first, _ = edit(RROME(**VALUE, occurrence="first"), model, tokenizer, [fact], 1)
    site = find_sites(model)[1]
    expected = reference_rome.rome(model, tokenizer, fact, site.name, PREFIXES, **VALUE)
    torch.testing.assert_close(weight_update(last.updates[0]), expected.update, rtol=0, atol=1e-8)
    assert not torch.allclose(weight_update(first.updates[0]), expected.update, atol=1e-6)


def test_a_fallback_is_named(monkeypatch):
    from goldenlayers.editors import fact_value

    class Broken:
        def __init__(self, *args):
            raise TypeError("no cache here")

    model, tokenizer, fact = tiny.model("llama"), tiny.tokenizer("llama"), tiny.FACTS[0]
    plain, _ = edit(RROME(**VALUE), model, tokenizer, [fact], 1)
    monkeypatch.setattr(fact_value, "Replay", Broken)
    fallen, _ = edit(RROME(**VALUE), model, tokenizer, [fact], 1)
    assert "prefix reuse failed: TypeError no cache here" in fallen.outcomes[0].details["computed"]
    torch.testing.assert_close(
        weight_update(fallen.updates[0]), weight_update(plain.updates[0]), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize(
    ("dtype", "off"),
    [(torch.float64, 1.005), (torch.float32, 1.005), (torch.bfloat16, 1.2), (torch.float16, 1.2)],
)
def test_rows_that_prefix_reuse_gets_wrong_are_noticed(monkeypatch, dtype, off):
    from goldenlayers.passes import replay

    aligned = replay._aligned
    monkeypatch.setattr(replay, "_aligned", lambda x, columns: aligned(x, columns) * off)
    model, tokenizer, fact = tiny.model("llama", dtype), tiny.tokenizer("llama"), tiny.FACTS[0]
    result, trace = edit(RROME(**VALUE), model, tokenizer, [fact], 1)
    assert "MismatchError" in result.outcomes[0].details["computed"]
    if dtype != torch.float64:
        return
    site = find_sites(model)[1]
    expected = reference_rome.rome(model, tokenizer, fact, site.name, PREFIXES, **VALUE)
    torch.testing.assert_close(weight_update(result.updates[0]), expected.update, rtol=0, atol=1e-8)
    assert len(trace) == VALUE["steps"]


def test_a_direction_at_right_angles_to_the_key_is_refused():
    keys = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [0.0, 1.0]])  # mean (0, 2/3), bare (1, 0)
    outputs = torch.zeros(3, 2)
    with pytest.raises(EditError, match="right angles"):
        rank_one(keys, outputs, torch.ones(2), None, averaged=False)
    left, right = rank_one(keys, outputs, torch.ones(2), None, averaged=True)
    torch.testing.assert_close(left * (right @ keys.mean(0)), torch.ones(2))


def test_bad_facts_are_refused_before_any_is_edited():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    long = Fact("long", "Korvo", "word " * 200 + "Korvo is", "mark", "crown")
    steps = []
    for bad, match in ((long, "fact 'long': .* the model's context is 128"),):
        with pytest.raises(FactError, match=match):
            _, steps = edit(RROME(**VALUE), model, tokenizer, [tiny.FACTS[0], bad], 1)
    assert steps == []


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"lr": 0}, "lr 0: expected a number above 0"),
        ({"steps": -1}, "steps -1"),
        ({"clamp": float("nan")}, "clamp nan"),
        ({"weight_decay": -1}, "weight_decay -1"),
        ({"value_from": "x"}, "value_from 'x'"),
        ({"occurrence": "middle"}, "occurrence 'middle'"),
        ({"steps": 2.5}, "steps 2.5: expected a whole number"),
        ({"steps": True}, "steps True"),
        ({"lr": "x"}, "lr 'x'"),
        ({"converged_below": float("nan")}, "converged_below nan"),
        ({"converged_below": -1}, "converged_below -1"),
        ({"prefix_reuse": "no"}, "prefix_reuse 'no'"),
    ],
)
def test_wrong_settings_are_refused(settings, match):
    with pytest.raises(SettingsError, match=match):
        RROME(**settings)


def test_published_settings_by_kind_of_model():
    assert RROME().value_settings("gpt2").steps == 20
    assert RROME().value_settings("gpt2").weight_decay == 0.5
    assert RROME().value_settings("llama").steps == 25
    assert RROME(steps=7).value_settings("gpt2").steps == 7


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
def test_half_precision_models_are_edited_with_float32_values(name, dtype):
    tokenizer, fact = tiny.tokenizer(name), tiny.FACTS[0]
    exact, _ = edit(RROME(**VALUE), tiny.model(name), tokenizer, [fact], 1)
    result, trace = edit(RROME(**VALUE), tiny.model(name, dtype), tokenizer, [fact], 1)
    update = result.updates[0]
    assert update.left.dtype == update.right.dtype == trace[0][1].dtype == torch.float32
    assert result.outcomes[0].details["computed"] == "prefix reuse"
    found, expected = weight_update(update).double(), weight_update(exact.updates[0])
    cosine = (found * expected).sum() / (found.norm() * expected.norm())
    assert float(cosine) > 0.9  # Adam's first steps are signs of gradients, which rounding turns
    assert result.outcomes[0].nll_after < result.outcomes[0].nll_before
