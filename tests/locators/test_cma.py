"""Causal mediation analysis as a locator: which facts, which numbers, what is told."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from goldenlayers.errors import LocatorError, SettingsError
from goldenlayers.locators.cma import CMA
from goldenlayers.locators.find import find
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.models.sites import find_sites
from goldenlayers.models.subject import subject_rows
from goldenlayers.passes.restoring import TracedRow, fixed_noise
from tests import tiny
from tests.locators.traced_facts import known

DRAWS = 2


@pytest.fixture(scope="module")
def facts():
    found = known("llama")
    assert len(found) == 3
    return found


def run(facts, locator=None, **options):
    model = tiny.model("llama")
    return find(model, tiny.tokenizer("llama"), facts, locator or CMA(draws=DRAWS), **options)


def explicit(facts, kind, window, times=3.0, seed=0):
    """(N, L) effects from whole runs of one row with hooks on everything."""
    model, tokenizer, sites = tiny.model("llama"), tiny.tokenizer("llama"), None
    sites, depth = find_sites(model), 4
    rows = []
    for fact in facts:
        (row,) = subject_rows(tokenizer, [""], fact.prompt, fact.subject, fact.target_old)
        text = f"{fact.prompt} {fact.target_old}"
        spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        start = text.index(fact.subject)
        first = next(i for i, (a, b) in enumerate(spans) if a <= start < b)
        rows.append(TracedRow(row.ids[: row.n_prompt], first, row.subject, row.ids[row.n_prompt]))
    weight = model.get_input_embeddings().weight.detach()
    tokens = [t for row in rows for t in row.ids[row.first : row.last + 1]]
    deviation = times * weight[tokens].std().item()
    blocks = [f"model.layers.{i}" for i in range(depth)]

    def probability(row, noise, put):
        seen, handles = {}, []

        def embed(module, args, output):
            output = output.clone()
            output[0, row.first : row.last + 1] += noise
            return output

        def at(name):
            def hook(module, args, output):
                out = (output[0] if isinstance(output, tuple) else output).clone()
                if name in put:
                    out[0, row.last] = put[name]
                seen[name] = out[0, row.last].clone()
                return (out, *output[1:]) if isinstance(output, tuple) else out

            return hook

        handles = [model.get_input_embeddings().register_forward_hook(embed)]
        for name in [*blocks, *(s.name for s in sites)]:
            handles.append(model.get_submodule(name).register_forward_hook(at(name)))
        with torch.no_grad():
            p = model(input_ids=torch.tensor([row.ids])).logits[0, -1].softmax(-1)[row.answer]
        for handle in handles:
            handle.remove()
        return p.item(), seen

    out = np.zeros((len(facts), depth))
    for f, (fact, row) in enumerate(zip(facts, rows, strict=True)):
        noise = fixed_noise(row, 32, draws=DRAWS, deviation=deviation, seed=seed, name=fact.id)
        _, clean = probability(row, torch.zeros_like(noise[0]), {})
        for draw in noise:
            base, _ = probability(row, draw, {})
            for i in range(depth):
                low, high = i - window // 2, i - (-window // 2)
                names = [s.name for s in sites if low <= s.layer < high]
                names = [blocks[i]] if kind == "state" else names
                put = {name: clean[name] for name in names}
                out[f, i] += (probability(row, draw, put)[0] - base) / DRAWS
    return out, deviation


@pytest.mark.parametrize(("kind", "window"), [("mlp", 10), ("mlp", 1), ("state", 10)])
def test_scores_are_mean_effects(facts, kind, window):
    ranking = run(facts, CMA(kind=kind, window=window, draws=DRAWS))
    expected, deviation = explicit(facts, kind, window)
    assert ranking.fact_scores["effect"] == pytest.approx(expected, rel=1e-7, abs=1e-12)
    assert [s.score for s in ranking.layers] == pytest.approx(expected.mean(0))
    assert ranking.golden == int(expected.mean(0).argmax())
    errors = expected.std(axis=0, ddof=1) / 3**0.5
    assert [s.more["standard_error"] for s in ranking.layers] == pytest.approx(errors)
    assert sum(s.stability for s in ranking.layers) == pytest.approx(1)
    assert ranking.details["noise_sd"] == pytest.approx(deviation)
    assert ranking.method == "cma"
    if kind == "state":
        assert "state" not in ranking.fact_scores
        assert ranking.shares == ("score", "standard_error")
    else:
        state, _ = explicit(facts, "state", window)
        assert ranking.fact_scores["state"] == pytest.approx(state, rel=1e-7, abs=1e-12)
        assert [s.more["state"] for s in ranking.layers] == pytest.approx(state.mean(0))
        assert ranking.shares == ("score", "standard_error", "state")


def test_plain_gives_the_same_and_is_told(facts):
    fast, plain = run(facts), run(facts, CMA(draws=DRAWS, plain=True))
    assert plain.fact_scores["effect"] == pytest.approx(fast.fact_scores["effect"], rel=1e-8)
    assert plain.notes == (*fast.notes[:-1], "computed by the plain loop", fast.notes[-1])
    assert fast.details["computed"]["plain_facts"] == 0
    assert plain.details["computed"]["plain_facts"] == 3
    assert fast.details["computed"]["token_layers"] < plain.details["computed"]["token_layers"]


def test_attention_batches_and_layers(facts):
    every = run(facts, CMA(kind="attention", draws=DRAWS))
    some = run(facts, CMA(kind="attention", draws=DRAWS, batch_tokens=1), layers=[1, 3])
    assert [s.layer for s in some.layers] == [1, 3]
    for name in ("effect", "state"):
        assert some.fact_scores[name] == pytest.approx(
            every.fact_scores[name][:, [1, 3]], rel=1e-8, abs=1e-15
        )


def test_noise_of_a_fact_depends_on_seed_alone(facts):
    first, other = run(facts), run(facts, seed=1)
    assert not np.allclose(first.fact_scores["effect"], other.fact_scores["effect"])
    assert np.array_equal(first.fact_scores["effect"], run(facts).fact_scores["effect"])


def test_unknown_facts_are_skipped_and_counted(facts):
    wrong = replace(facts[0], id="wrong", target_old="zzz")
    lost = replace(facts[1], id="lost", subject="Nobody")
    steps = []
    ranking = run(
        [wrong, *facts, lost],
        progress=lambda stage, done, total: steps.append((stage, done, total)),
    )
    assert [a.id for a in ranking.answers] == [f.id for f in facts]
    assert ranking.answers[0].old_answer == facts[0].target_old
    assert ranking.answers[0].old_source == "record"
    reasons = {s.id: s.reason for s in ranking.skipped}
    assert reasons["wrong"].startswith("the model does not know 'zzz': it predicts")
    assert "is not in the prompt" in reasons["lost"]
    assert ranking.notes[0] == (
        "traced on the 3 of 5 facts that the model knows; 1 unknown, 1 left out otherwise"
    )
    assert steps == [("tracing", i, 3) for i in (1, 2, 3)]
    assert np.array_equal(ranking.fact_scores["effect"], run(facts).fact_scores["effect"])


def test_too_long_facts_are_skipped(facts):
    long = replace(facts[0], id="long", prompt="x " * 200 + facts[0].prompt)
    ranking = run([*facts, long])
    assert [s.id for s in ranking.skipped] == ["long"]
    assert "the model's context is 128" in ranking.skipped[0].reason


def test_no_known_fact_is_an_error(facts):
    wrong = replace(facts[0], target_old="zzz")
    lost = replace(facts[1], subject="Nobody")
    with pytest.raises(
        LocatorError, match=r"none of the 2 facts .* does not know 1 of them, 1 are"
    ):
        run([wrong, lost])


def test_the_models_own_answer_is_traced_where_there_is_none(facts):
    bare = [replace(f, target_old=None) for f in facts]
    ranking = run(bare)
    assert {a.old_source for a in ranking.answers} == {"model"}
    assert all(a.old_ids for a in ranking.answers)


def test_facts_that_ask_for_no_change_are_traced_all_the_same(facts):
    same = [replace(f, target_new=f.target_old) for f in facts]
    effect = run(same).fact_scores["effect"]
    assert np.array_equal(effect, run(facts).fact_scores["effect"])


def test_own_answers_are_traced_whatever_the_record_says(facts):
    wrong = [replace(f, target_old="zzz") for f in facts]
    ranking = run(wrong, CMA(draws=DRAWS, traced="own"))
    bare = run([replace(f, target_old=None) for f in facts])
    assert np.array_equal(ranking.fact_scores["effect"], bare.fact_scores["effect"])
    assert {a.old_source for a in ranking.answers} == {"model"}
    assert ranking.details["traced"] == "own"
    assert ranking.notes[0] == "traced on the model's own answers to 3 of 3 facts; 0 left out"


def test_one_fact_has_no_stability(facts):
    ranking = run(facts[:1])
    assert all(s.stability is None for s in ranking.layers)
    assert all(s.more["standard_error"] is None for s in ranking.layers)


def test_heat_map(facts, tmp_path):
    fact = facts[1]
    ranking = run(facts, CMA(draws=DRAWS, heat_map=fact.id))
    heat = ranking.details["heat_map"]
    assert heat == json.loads(json.dumps(heat))
    first, last = heat["subject"]
    effect = np.array(heat["effect"])
    assert effect.shape == (len(heat["tokens"]), 4)
    assert (effect[:first] == 0).all()
    assert effect[last] == pytest.approx(ranking.fact_scores["effect"][1], rel=1e-7)
    assert "".join(heat["tokens"][first : last + 1]).replace(" ", "") in fact.subject.replace(
        " ", ""
    )
    assert heat["clean"] > 0
    assert heat["layers"] == [0, 1, 2, 3]
    ranking.save(tmp_path)
    assert LayerRanking.load(tmp_path).details["heat_map"] == heat


def test_heat_map_of_a_fact_that_is_not_there_or_not_known(facts):
    with pytest.raises(SettingsError, match="heat_map 'no': no fact"):
        run(facts, CMA(heat_map="no"))
    wrong = replace(facts[0], id="wrong", target_old="zzz")
    ranking = run([wrong, *facts], CMA(draws=DRAWS, heat_map="wrong"))
    assert ranking.details["heat_map"] is None
    assert ranking.notes[-2].startswith("no heat map of fact wrong: the model does not know")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "all"}, "kind 'all' is unknown; expected one of mlp, attention, state"),
        ({"window": 0}, "window 0: expected 1 or more"),
        ({"draws": 0}, "draws 0: expected 1 or more"),
        ({"noise": 0.0}, "noise 0.0: expected a number above 0"),
        ({"noise": float("nan")}, "noise nan: expected a number above 0"),
        ({"batch_tokens": 0}, "batch_tokens 0: expected 1 or more"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(SettingsError, match=message):
        CMA(**settings)
