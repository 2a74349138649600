"""Sweeps over windows of layers: the same as one edit of each window after another."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.editors.alphaedit import AlphaEdit
from goldenlayers.editors.memit import EMMET, MEMIT
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.rome import RROME
from goldenlayers.editors.weights import updates_applied
from goldenlayers.errors import EditError, SettingsError
from goldenlayers.metrics.baseline import baseline
from goldenlayers.metrics.predict import predict
from goldenlayers.models.content import content_hash
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.sweep import run as run_module
from goldenlayers.sweep.engine import Sweep
from goldenlayers.sweep.run import fill, prepared, store_for
from goldenlayers.sweep.scoring import layer_outcome, rows_of
from goldenlayers.sweep.windows import in_words, width_of, window_ending_at, windows_of
from tests import tiny
from tests.sweep.test_editors import moment
from tests.sweep.test_engine import FACTS, TEMPLATES, VALUE

EDITORS = [
    MEMIT(**VALUE, lam=0.1, window=2),
    MEMIT(**VALUE, lam=0.1),  # five, in models of four layers
    AlphaEdit(**VALUE, threshold=2.0, l2=0.1, window=3),
]


def sweep(name, editor, sites=None, **options):
    model = tiny.model(name)
    every = find_sites(model)
    solvers = {s.layer: editor.solver(moment(s)) for s in every}
    return Sweep(
        model, tiny.tokenizer(name), sites or every, editor, TEMPLATES, solvers, all_sites=every,
        **options,
    )  # fmt: skip


def by_hand(swept, fact, window):
    """One request of the editor, scored with its updates in the weights."""
    model = swept.model
    request = EditRequest(model, swept.tokenizer, [fact], window, TEMPLATES, swept.solvers)
    asked = baseline(model, swept.tokenizer, [fact], generate=False, fluency=False).of(fact)
    with untouched(model):
        made = swept.editor.edit(request)
        with updates_applied(model, made.updates):
            predictions = predict(model, rows_of(asked))
    norm = sum(u.norm**2 for u in made.updates) ** 0.5
    return made, layer_outcome(made.outcomes[0], window[-1], asked, predictions, norm, "by hand")


def the_same(ours, other, tolerance=1e-8):
    for field in ("fact", "layer", "status", "rewritten", "steps"):
        assert getattr(ours, field) == getattr(other, field), field
    for field in ("nll_before", "nll_after", "update_norm"):
        assert getattr(ours, field) == pytest.approx(getattr(other, field), abs=tolerance), field
    assert ours.scores == pytest.approx(other.scores, abs=tolerance)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("editor", EDITORS, ids=lambda e: f"{e.name}-{e.window}")
def test_windows_side_by_side_equal_whole_edits_and_the_plain_loop(name, editor):
    swept = sweep(name, editor)
    before = content_hash(swept.model)
    found, plain = (sweep(name, editor, plain=p).run(FACTS) for p in (False, True))
    assert content_hash(swept.model) == before
    units = [(fact, n) for fact in FACTS for n in range(4)]
    assert [(o.fact, o.layer) for o in found] == [(f.id, n) for f, n in units]
    for ours, looped, (fact, n) in zip(found, plain, units, strict=True):
        assert (ours.computed, looped.computed) == ("growing batch", "plain loop")
        the_same(ours, looped)
        window = swept.sites[max(0, n - editor.window + 1) : n + 1]
        made, other = by_hand(swept, fact, window)
        the_same(ours, other)
        if made.updates:
            assert [u.layer for u in made.updates] == [s.layer for s in window]
    assert any(o.scores["nll_new"] < o.nll_before - 0.1 for o in found)
    assert {o.status for o in found} >= {"unreached"}  # the last layer


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("editor", EDITORS[::2], ids=lambda e: e.name)
def test_some_layers_alone_and_small_batches_give_the_same(editor, plain):
    whole = {(o.fact, o.layer): o for o in sweep("llama", editor, plain=plain).run(FACTS)}
    sites = find_sites(tiny.model("llama"))
    some = sweep("llama", editor, [sites[0], sites[2]], plain=plain, batch_tokens=40)
    for found in (some.run(FACTS), some.run(FACTS, [2])):
        assert {o.layer for o in found} <= {0, 2}
        for ours in found:
            the_same(ours, whole[ours.fact, ours.layer])


def test_a_window_is_more_than_its_last_layer():
    wide, single = (
        sweep("llama", MEMIT(**VALUE, lam=0.1, window=w)).run(FACTS[:1], [0, 2]) for w in (2, 1)
    )
    the_same(wide[0], single[0])  # layer 0 is a window of one
    assert abs(wide[1].scores["nll_new"] - single[1].scores["nll_new"]) > 1e-4


def test_a_fact_at_a_window_that_fails_does_not_stop_the_others(monkeypatch):
    real, calls = MEMIT.spread, []

    def sometimes(*args):
        calls.append(1)
        if len(calls) == 2:
            raise EditError("no bound")
        return real(*args)

    monkeypatch.setattr(MEMIT, "spread", sometimes)
    found = sweep("llama", EDITORS[0]).run(FACTS[:2])
    (failed,) = [o for o in found if o.reason == "no bound"]
    assert (failed.status, failed.update_norm) == ("not converged", 0.0)
    assert failed.scores["locality"] == 1.0  # the model is as it was
    assert sum(o.update_norm > 0 for o in found) == 5  # all but it and the last layer's


def test_a_model_that_the_batch_does_not_suit_falls_back_and_says_so(monkeypatch):
    from goldenlayers.sweep import predict_edited

    expected = sweep("llama", EDITORS[0]).run(FACTS[:2])

    def broken(*args):
        raise TypeError("no batch here")

    monkeypatch.setattr(predict_edited, "Replay", broken)
    for ours, other in zip(sweep("llama", EDITORS[0]).run(FACTS[:2]), expected, strict=True):
        assert "scored by the plain loop: TypeError no batch here" in ours.computed
        the_same(ours, other)


def test_which_layers_belong_to_a_window():
    sites = find_sites(tiny.model("llama"))

    def layers(found):
        return [s.layer for s in found]

    assert [layers(window_ending_at(s, sites, 3)) for s in sites] == [
        [0], [0, 1], [0, 1, 2], [1, 2, 3],
    ]  # fmt: skip
    assert layers(windows_of([sites[0], sites[3]], sites, 2)) == [0, 2, 3]
    assert windows_of(sites[2:], sites, 1) == sites[2:]
    with pytest.raises(SettingsError, match=r"layer 3: the window of 3 layers .* at layer 1"):
        window_ending_at(sites[3], sites[2:], 3)
    widths = [width_of(e) for e in (MEMIT(), MEMIT(window=1), EMMET(window=3), RROME())]
    assert widths == [5, 1, 1, 1]
    assert in_words(1) == ""
    assert in_words(5) == "; a layer stands for the 5 that end there"


def random_covariance(monkeypatch):
    """Let covariances be of random keys; return the lists of layers that are asked for."""
    asked = []

    def of(model, tokenizer, layers, **options):
        asked.append(list(layers))
        return {s.layer: moment(s) for s in find_sites(model) if s.layer in layers}

    monkeypatch.setattr(run_module, "key_covariance", of)
    return asked


@pytest.fixture
def covariance(monkeypatch):
    return random_covariance(monkeypatch)


def make(name="llama", layers=(0, 1, 2, 3), editor="memit", **options):
    model = tiny.model(name)
    sites = find_sites(model)
    return prepared(
        model, tiny.tokenizer(name), [sites[n] for n in layers], editor,
        **{"all_sites": sites, "settings": VALUE | {"window": 2, "lam": 0.1}, "batch_tokens": 200}
        | {"covariance": "model"} | options,
    )  # fmt: skip


def test_layers_below_have_what_the_windows_need(covariance):
    told = []
    made, identity = make(layers=[0, 3], say=told.append)
    assert told == ["memit edits 2 layers together: a layer stands for those that end there"]
    assert covariance == [[0, 2, 3]]
    assert sorted(made.solvers) == [0, 2, 3]
    assert [s.layer for s in made.sites] == [0, 3]
    with store_for(None, identity, FACTS, False) as store:
        assert fill(made, FACTS, [0, 3], store) == 6
        whole, _ = make()
        for outcome in whole.run(FACTS, [0, 3]):
            the_same(store.outcomes[outcome.fact, outcome.layer], outcome)


def test_the_identity_tells_windows_from_the_single_layers_of_before(covariance):
    _, windows = make()
    _, single = make(settings=VALUE | {"window": 1, "lam": 0.1})
    _, emmet = make(editor="emmet", settings=VALUE)
    assert windows["settings"]["layer"] == "the last of a window"
    assert "layer" not in single["settings"] | emmet["settings"]
    # which windows are wanted now does not: a sweep is taken further
    assert make(layers=[2, 3])[1] == make(layers=[2])[1]


@pytest.mark.parametrize("plain", [False, True])
def test_a_norm_behind_the_mlp_is_found_before_anything_is_done(covariance, plain):
    with pytest.raises(SettingsError, match=r"memit: .* a norm .* give window=1"):
        make("gemma3_text", plain=plain)
    assert not covariance
    single, _ = make("gemma3_text", settings=VALUE | {"window": 1, "lam": 0.1}, plain=plain)
    assert len(single.run(FACTS[:1])) == 4
    with pytest.raises(SettingsError, match="norm"):
        sweep("gemma3_text", EDITORS[0], plain=plain).run(FACTS)


def test_a_missing_solver_is_refused():
    swept = sweep("llama", EDITORS[0])
    few = Sweep(
        swept.model, swept.tokenizer, swept.sites, swept.editor, TEMPLATES,
        {n: s for n, s in swept.solvers.items() if n != 1},
    )  # fmt: skip
    with pytest.raises(SettingsError, match="none of layer 1"):
        few.run(FACTS, [2])


def test_half_precision_runs():
    model = tiny.model("llama", torch.bfloat16)
    sites = find_sites(model)
    editor = MEMIT(**VALUE, lam=0.1, window=2)
    solvers = {s.layer: editor.solver(moment(s)) for s in sites}
    found, plain = (
        Sweep(model, tiny.tokenizer("llama"), sites, editor, TEMPLATES, solvers, plain=p).run(
            FACTS[:1], [1, 2]
        )
        for p in (False, True)
    )
    for ours, other in zip(found, plain, strict=True):
        assert ours.nll_after == pytest.approx(other.nll_after, abs=0.2)
