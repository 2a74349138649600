"""PMET against two values trained by the plain loop and normal equations, all in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from goldenlayers.editors.defaults import published
from goldenlayers.editors.fact_value import Beside
from goldenlayers.editors.memit import MEMIT
from goldenlayers.editors.pmet import PMET, attention_of
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.run import EDITORS
from goldenlayers.editors.templates import Templates
from goldenlayers.editors.training import Training
from goldenlayers.editors.weights import updates_applied
from goldenlayers.errors import SettingsError
from goldenlayers.facts import Fact
from goldenlayers.models.content import content_hash
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.sweep.engine import Sweep
from tests import tiny
from tests.editors import reference_batch, reference_rome
from tests.editors.test_batch import ALL, FACTS, PREFIXES, dense, described, moment, run
from tests.sweep import test_engine

LAM = 7.0
# the linear map that writes the attention's output, where the published code adds its delta
WRITERS = {
    "gpt2": "transformer.h.{}.attn.c_proj",
    "llama": "model.layers.{}.self_attn.o_proj",
    "gptj": "transformer.h.{}.attn.out_proj",
    "gpt_neox": "gpt_neox.layers.{}.attention.dense",
    "gemma3_text": "model.layers.{}.self_attn.o_proj",
}
VALUES = {"free": ALL, "clamped": ALL | {"lr": 0.3, "steps": 6, "clamp": 0.5}}


def facts_of(name):
    # the other is out of reach of layer 1: the window of the attention above is too short
    return [FACTS[0], FACTS[2]] if name == "gemma3_text" else FACTS


def expected_of(name, model, tokenizer, facts, layers, value, ends=True):
    # (d_in, d_in) each
    covariances = [moment(find_sites(model)[n]).covariance(PMET().ridge) for n in layers]
    return reference_batch.pmet(
        model, tokenizer, facts, described(model, layers), WRITERS[name].format(layers[-1]),
        PREFIXES, lambda i, R, K: reference_batch.memit(R, K, covariances[i], LAM),
        value={**value, "until_likeliest": ends},
    )  # fmt: skip


def close(made, dW, tolerance=1e-8):
    torch.testing.assert_close(dense(made), dW, rtol=0, atol=tolerance * float(dW.abs().max()))


@pytest.mark.parametrize(
    ("layers", "kind"),
    [((1,), "free"), ((1,), "clamped"), ((1, 2), "free"), ((0, 1, 2), "clamped")],
)
@pytest.mark.parametrize("name", WRITERS)
def test_updates_equal_the_reference(name, layers, kind):
    model, tokenizer, facts = tiny.model(name), tiny.tokenizer(name), facts_of(name)
    editor = PMET(**VALUES[kind], lam=LAM)
    if name == "gemma3_text" and len(layers) > 1:
        with pytest.raises(SettingsError, match="one layer instead of a window"):
            run(editor, model, tokenizer, facts, layers)
        return
    expected, values = expected_of(name, model, tokenizer, facts, layers, VALUES[kind])
    tolerance = 1e-5 if name in tiny.FLOAT32_INSIDE else 1e-8
    before = content_hash(model)
    for reuse, how in ((True, "prefix reuse"), (False, "whole rows")):
        result = run(replace(editor, prefix_reuse=reuse), model, tokenizer, facts, layers)
        assert [o.details["computed"] for o in result.outcomes] == [how] * len(facts)
        assert [u.layer for u in result.updates] == list(layers)
        for update, dW in zip(result.updates, expected, strict=True):
            close(update, dW, tolerance)
        for outcome, (deltas, losses, v0s) in zip(result.outcomes, values, strict=True):
            found = [(s.loss, s.nll, s.kl, s.decay) for s in outcome.steps]
            assert found == [pytest.approx(step, rel=tolerance, abs=tolerance) for step in losses]
            assert outcome.details["value_norm"] == pytest.approx(float(deltas[0].norm()))
            assert outcome.details["v0_norm"] == pytest.approx(float(v0s[0].norm()))
    assert content_hash(model) == before
    # what is tested happens: the attention's delta is there, and clamps bind or do not
    shares = torch.tensor([[d.norm() / v0.norm() for d, v0 in zip(*pair[::2], strict=True)]
                           for pair in values])  # fmt: skip
    assert float(shares.min()) > 0.01
    assert (shares > 0.499).any() if kind == "clamped" else (shares < 2.99).all()


class FrozenTraining(Training):
    """The delta at the attention stays 0."""

    def update(self, gradient):
        super().update(gradient * torch.tensor([[1.0], [0.0]]).to(gradient))


class Frozen(PMET):
    """PMET without a delta at the attention."""

    def beside(self):
        return Beside(attention_of, FrozenTraining)


class BySite(MEMIT):
    """MEMIT whose value is measured by what the site writes, as PMET's is."""

    def v0(self, request, site):
        return "prompt"


@pytest.mark.parametrize("name", WRITERS)
def test_without_a_delta_at_the_attention_one_layer_is_memit(name):
    model, tokenizer, facts = tiny.model(name), tiny.tokenizer(name), facts_of(name)
    memit = run(BySite(**ALL, lam=LAM), model, tokenizer, facts, (1,))
    frozen = run(Frozen(**ALL, lam=LAM), model, tokenizer, facts, (1,))
    tolerance = 1e-5 if name in tiny.FLOAT32_INSIDE else 1e-9
    close(frozen.updates[0], dense(memit.updates[0]), tolerance)
    assert [len(o.steps) for o in frozen.outcomes] == [len(o.steps) for o in memit.outcomes]
    both = run(PMET(**ALL, lam=LAM), model, tokenizer, facts, (1,))
    apart = (dense(both.updates[0]) - dense(memit.updates[0])).norm()
    assert float(apart) > 0.01 * float(dense(memit.updates[0]).norm())


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_each_layer_takes_what_is_missing_by_the_root_of_the_layers_left(name):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    layers, site = (0, 1, 2), find_sites(model)[2].name
    editor = PMET(**ALL, lam=LAM)
    delta = run(editor, model, tokenizer, FACTS, layers[-1:]).updates[0].left  # (d, n)

    def written(updates):
        with torch.no_grad(), updates_applied(model, updates):
            rows = [reference_batch.row(tokenizer, fact, "") for fact in FACTS]
            outs = [reference_rome.run(model, site, ids, at, None)[2] for ids, at in rows]
        return torch.stack(outs, dim=1)  # (d, n)

    updates = run(editor, model, tokenizer, FACTS, layers).updates
    torch.testing.assert_close(updates[0].left * 3**0.5, delta, rtol=1e-9, atol=1e-12)
    for i, update in enumerate(updates):
        missing = written(()) + delta - written(updates[:i])
        torch.testing.assert_close(update.left * (3 - i) ** 0.5, missing, rtol=1e-7, atol=1e-9)
    # not MEMIT's shares of the same
    assert float((updates[1].left * 2 - missing).norm()) > 0.1 * float(missing.norm())


# one token that is read at the subject itself: the others never become the likeliest here
REACHABLE = [Fact("b", "Tarnish", "The maker of the game Tarnish", "was", "the")]
EAGER = {"lr": 0.3, "steps": 12, "weight_decay": 0.01, "clamp": 20.0, "stop_loss": 0.0}


@pytest.mark.parametrize(("kl_factor", "n"), [(0.001, 3), (30.0, 12)], ids=["ends", "a tenth"])
def test_what_happens_once_the_answer_is_the_likeliest(kl_factor, n):
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    value = EAGER | {"kl_factor": kl_factor}
    weights = {}
    for ends in (True, False):
        editor = PMET(**value, lam=LAM, until_likeliest=ends)
        (dW,), (value_of,) = expected_of("llama", model, tokenizer, REACHABLE, (2,), value, ends)
        result = run(editor, model, tokenizer, REACHABLE, (2,))
        close(result.updates[0], dW)
        steps = result.outcomes[0].steps
        assert [(s.loss, s.nll, s.kl, s.decay) for s in steps] == [
            pytest.approx(step, rel=1e-8, abs=1e-8) for step in value_of[1]
        ]
        weights[ends] = [round((s.loss - s.kl - s.decay) / s.nll, 6) for s in steps]
    assert weights[False] == [1.0] * 12
    assert weights[True] == [1.0] * 3 + [0.1] * (n - 3)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
@pytest.mark.parametrize("max_tokens", [None, 40])
def test_many_layers_side_by_side_are_as_one_alone(name, max_tokens):
    model, tokenizer, facts = tiny.model(name), tiny.tokenizer(name), facts_of(name)
    sites, editor = find_sites(model), PMET(**ALL, lam=LAM)
    request = EditRequest(
        model, tokenizer, facts, sites, Templates("own", PREFIXES),
        {s.layer: editor.solver(moment(s)) for s in sites}, {},
    )  # fmt: skip
    with untouched(model):
        found = editor.solve(request, editor.prepare(request), max_tokens)
    reached = 0
    for fact, solutions in zip(facts, found, strict=True):
        for site, solution in zip(sites, solutions, strict=True):
            alone = run(editor, model, tokenizer, [fact], (site.layer,))
            assert solution.details["computed"] == "prefix reuse"
            if solution.update is None:
                assert alone.outcomes[0].status == "unreached"
                continue
            reached += 1
            close(solution.update, dense(alone.updates[0]), 1e-8)
    assert reached >= 3 * len(facts)
    (expected,), _ = expected_of(name, model, tokenizer, facts[:1], (1,), ALL)
    close(found[0][1].update, expected)


def test_a_fact_that_the_layer_cannot_carry():
    model, tokenizer = tiny.model("gemma3_text"), tiny.tokenizer("gemma3_text")
    result = run(PMET(**ALL, lam=LAM), model, tokenizer, FACTS, (1,))
    assert [o.status for o in result.outcomes] == ["not converged", "unreached", "not converged"]
    assert result.updates[0].rank == 2


@pytest.mark.parametrize(("name", "window"), [("gpt2", 1), ("gemma3_text", 1), ("llama", 2)])
def test_sweep(name, window):
    model, editor = tiny.model(name), PMET(**test_engine.VALUE, lam=0.1, window=window)
    sites = find_sites(model)
    solvers = {s.layer: editor.solver(moment(s)) for s in sites}
    found, expected = (
        Sweep(
            model, tiny.tokenizer(name), sites, editor, test_engine.TEMPLATES, solvers, plain=plain
        ).run(test_engine.FACTS)
        for plain in (False, True)
    )
    for ours, plain in zip(found, expected, strict=True):
        assert (ours.computed, plain.computed) == ("growing batch", "plain loop")
        assert ours.status == plain.status
        assert ours.update_norm == pytest.approx(plain.update_norm, abs=1e-8)
        assert ours.scores == pytest.approx(plain.scores, abs=1e-8)


def test_published_settings():
    ours, theirs = (
        {n: getattr(published(kind, "pmet"), n)
         for n in ("lr", "steps", "weight_decay", "clamp", "kl_factor", "stop_loss")}
        for kind in ("gptj", "llama")
    )  # fmt: skip
    assert ours == {"lr": 0.2, "steps": 30, "weight_decay": 0.5, "clamp": 0.75, "kl_factor": 1.0,
                    "stop_loss": 0.05}  # fmt: skip
    assert theirs == {"lr": 0.5, "steps": 20, "weight_decay": 0.5, "clamp": 1.0,
                      "kl_factor": 0.0625, "stop_loss": 0.05}  # fmt: skip
    assert PMET().value_settings("llama").clamp == 1.0
    assert PMET(clamp=2.0).value_settings("gptj").clamp == 2.0
    assert (PMET().window, EDITORS["pmet"]) == (5, PMET)


@pytest.mark.parametrize("name", sorted(set(tiny.MODELS) - {"bloom"}))
def test_the_attention_is_found_in_every_model(name):
    model = tiny.model(name)
    for site in find_sites(model):
        found = attention_of(model, site)
        assert found.startswith(f"{site.block}.")
        assert "att" in found.rpartition(".")[2]


class TestNoAttentionOfItsOwn:
    def refused(self, model, sites, message, n=1):
        for reuse in (True, False):
            request = EditRequest(
                model, tiny.tokenizer("gpt2"), FACTS, sites[n : n + 1], Templates("own", PREFIXES),
                {sites[n].layer: PMET().solver(moment(sites[n]))}, {},
            )  # fmt: skip
            with pytest.raises(SettingsError, match=message), untouched(model):
                PMET(**ALL, prefix_reuse=reuse).edit(request)

    def test_together_with_the_stream(self):
        model = tiny.model("bloom")
        self.refused(
            model, find_sites(model), r"BloomAttention.* together with the residual stream"
        )

    def test_the_site_is_in_it(self):
        model = tiny.model("gpt2")
        sites = find_sites(model, "transformer.h.{}.attn.c_proj")
        self.refused(model, sites, r"h\.1\.attn\.c_proj is the attention's own; take memit")

    def test_none_in_this_block(self):
        model = tiny.model("gpt2")
        sites = find_sites(model)
        del model.transformer.h[2].attn
        with pytest.raises(SettingsError, match=r"h\.2 writes.*this block has none"):
            attention_of(model, sites[2])
        assert attention_of(model, sites[1]) == "transformer.h.1.attn"

    def test_none_in_any(self):
        model = tiny.model("gpt2")
        sites = find_sites(model)
        for block in model.transformer.h:
            del block.attn
        with pytest.raises(SettingsError, match=r"expected one attention module .* take memit"):
            attention_of(model, sites[1])


def test_wrong_settings():
    with pytest.raises(SettingsError, match="until_likeliest 'no': expected True or False"):
        PMET(until_likeliest="no")
