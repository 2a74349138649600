"""All facts at all layers side by side, against one edit after another in the whole model."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from goldenlayers.editors.edit import Edit
from goldenlayers.editors.rome import ROME, RROME
from goldenlayers.editors.run import edit
from goldenlayers.editors.templates import Templates
from goldenlayers.facts import Fact
from goldenlayers.facts.fact import LocalityProbe, PortabilityProbe
from goldenlayers.metrics.evaluate import evaluate
from goldenlayers.models.sites import find_sites
from goldenlayers.sweep.blocks import MOST_FACTS
from goldenlayers.sweep.engine import Sweep
from goldenlayers.sweep.outcome import SCORES
from tests import tiny

TEMPLATES = Templates("own", ("", "Blue Kite. ", "In the north, people say: "))
VALUE = {"lr": 0.3, "steps": 6, "weight_decay": 0.01, "clamp": 3.0, "kl_factor": 0.1}
ROUNDED = dict.fromkeys(tiny.FLOAT32_INSIDE, 1e-4)
FACTS = [
    dataclasses.replace(
        fact,
        rephrase_prompts=(f"In short, {fact.prompt}", f"{fact.prompt} the"),
        locality={"same_relation": (LocalityProbe("The capital of Vell is", "Danish"),),
                  "other": (LocalityProbe("People in Korvo mostly speak", None),)},
        portability={"reasoning": (PortabilityProbe(f"As {fact.subject} is", ("mark", "n")),)},
    )
    for fact in (tiny.FACTS[0], tiny.FACTS[4], tiny.FACTS[6])
]  # fmt: skip


def sweep(name, dtype=torch.float64, editor=None, **options):
    model = tiny.model(name, dtype)
    editor = editor or RROME(**VALUE)
    return Sweep(model, tiny.tokenizer(name), find_sites(model), editor, TEMPLATES, **options)


@pytest.mark.parametrize("name", tiny.MODELS)
def test_the_growing_batch_equals_the_plain_loop(name):
    tolerance = ROUNDED.get(name, 1e-8)
    fast, slow = sweep(name), sweep(name, plain=True)
    before = {n: p.clone() for n, p in fast.model.named_parameters()}
    found, expected = fast.run(FACTS), slow.run(FACTS)
    assert [(o.fact, o.layer) for o in found] == [(f.id, n) for f in FACTS for n in range(4)]
    for ours, plain in zip(found, expected, strict=True):
        assert ours.computed == "growing batch"
        assert plain.computed == "plain loop"
        for field in ("fact", "layer", "status", "rewritten", "steps"):
            assert getattr(ours, field) == getattr(plain, field), field
        for field in ("nll_before", "nll_after", "update_norm"):
            assert getattr(ours, field) == pytest.approx(getattr(plain, field), abs=tolerance), (
                field
            )
        assert ours.scores == pytest.approx(plain.scores, abs=tolerance)
    assert all(torch.equal(p, before[n]) for n, p in fast.model.named_parameters())
    assert {o.status for o in found} >= {"unreached"}  # the last layer
    assert any(o.scores["nll_new"] < o.nll_before - 0.1 for o in found)


@pytest.mark.parametrize("name", ["gpt2", "gemma3_text"])
@pytest.mark.parametrize("kind", [RROME, ROME])
def test_it_equals_what_edit_and_evaluate_give(name, kind):
    """The commands that a user would run by hand, fact by fact and layer by layer."""
    swept = sweep(name, editor=kind(**VALUE))
    for outcome in swept.run(FACTS, [0, 2]):
        fact = next(f for f in FACTS if f.id == outcome.fact)
        made: Edit = edit(
            swept.model, swept.tokenizer, fact, outcome.layer, kind.name, templates=TEMPLATES,
            **VALUE,
        )  # fmt: skip
        scored = evaluate(
            swept.model, swept.tokenizer, [fact], edit=made, generate=False, fluency=False
        )
        assert outcome.scores == pytest.approx(
            {n: scored.facts[0].scores[n] for n in SCORES}, abs=1e-8
        )
        assert outcome.update_norm == pytest.approx(sum(u.norm for u in made.updates), rel=1e-6)
        assert outcome.reason == made.outcomes[0].reason


def test_some_layers_alone_give_the_same():
    swept = sweep("llama")
    whole = {(o.fact, o.layer): o for o in swept.run(FACTS)}
    some = swept.run(FACTS[1:2], [1, 3])
    assert [(o.fact, o.layer) for o in some] == [("5", 1), ("5", 3)]
    for o in some:
        assert o.scores == pytest.approx(whole[o.fact, o.layer].scores, abs=1e-9)


def test_small_batches_give_the_same():
    whole = sweep("llama").run(FACTS)
    small = sweep("llama", batch_tokens=40).run(FACTS)
    for a, b in zip(whole, small, strict=True):
        assert a.scores == pytest.approx(b.scores, abs=1e-9)
        assert a.steps == b.steps


def test_blocks_put_rows_of_similar_length_together_and_measure_one_fact_alone():
    swept = sweep("llama", batch_tokens=400)
    facts = [dataclasses.replace(f, id=f"{f.id}.{i}") for i in range(6) for f in FACTS]
    blocks = swept.blocks(facts, 4)
    assert sorted(f.id for b in blocks for f in b.facts) == sorted(f.id for f in facts)
    assert sum(b.share for b in blocks) == pytest.approx(1.0)
    together = swept.blocks(facts, 4, first_alone=False)
    assert sorted(f.id for b in together for f in b.facts) == sorted(f.id for f in facts)
    assert sum(b.share for b in together) == pytest.approx(1.0)
    assert len(swept.blocks(facts[:2], 1, first_alone=False)) == 1
    assert len(blocks[0].facts) == 1
    assert max(len(b.facts) for b in blocks) > 1
    request = swept._request(facts, swept.sites[:1])
    tails = {
        fact.id: max(len(row.ids) - row.subject for row in rows.fed)
        for fact, rows in zip(facts, swept.editor.prepare(request), strict=True)
    }
    assert len(set(tails.values())) > 1
    middling = sorted(tails[f.id] for f in facts)[len(facts) // 2]
    assert tails[blocks[0].facts[0].id] == middling
    rows = len(swept.editor.prepare(request)[0].fed)
    for block in blocks[1:]:
        longest = max(tails[f.id] for f in block.facts)
        assert len(block.facts) == 1 or longest * rows * 4 * len(block.facts) <= 400
        assert len(block.facts) <= MOST_FACTS
    plain = sweep("llama", plain=True).blocks(facts[:12], 4)
    assert [len(b.facts) for b in plain] == [1] * 12
    assert [b.share for b in plain] == [pytest.approx(1 / 12)] * 12


def test_an_editor_of_another_kind_gets_the_plain_loop():
    class Other:
        """Makes R-ROME's edits without being of its class."""

        name = "other"

        def edit(self, request):
            return RROME(**VALUE).edit(request)

    found = sweep("llama", editor=Other()).run(FACTS[:1])
    expected = sweep("llama").run(FACTS[:1])
    for ours, plain in zip(found, expected, strict=True):
        assert ours.computed == "plain loop: Other cannot train many layers side by side"
        assert ours.scores == pytest.approx(plain.scores, abs=1e-8)


def test_a_model_that_the_batch_does_not_suit_falls_back_and_says_so(monkeypatch):
    from goldenlayers.editors import fact_value
    from goldenlayers.sweep import predict_edited

    class Broken:
        def __init__(self, *args):
            raise TypeError("no batch here")

    expected = sweep("llama").run(FACTS[:2])
    monkeypatch.setattr(fact_value, "Replay", Broken)
    monkeypatch.setattr(predict_edited, "Replay", Broken)
    found = sweep("llama").run(FACTS[:2])
    for ours, plain in zip(found, expected, strict=True):
        assert "scored by the plain loop: TypeError no batch here" in ours.computed
        assert "values by whole rows, because prefix reuse failed" in ours.computed
        assert ours.scores == pytest.approx(plain.scores, abs=1e-8)


def test_a_fact_at_a_layer_that_fails_does_not_stop_the_others(monkeypatch):
    from goldenlayers.editors import rome
    from goldenlayers.errors import EditError

    real, calls = rome.rank_one, []

    def sometimes(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise EditError("no bound")
        return real(*args, **kwargs)

    monkeypatch.setattr(rome, "rank_one", sometimes)
    found = sweep("llama").run(FACTS[:2])
    assert [o.reason for o in found].count("no bound") == 1
    (failed,) = [o for o in found if o.reason == "no bound"]
    assert failed.status == "not converged"
    assert failed.update_norm == 0
    assert failed.scores["locality"] == 1.0  # the model is as it was
    assert sum(o.update_norm > 0 for o in found) == 5  # all but it and the last layer's


def test_times_add_up():
    found = sweep("llama").run(FACTS)
    assert all(o.seconds > 0 for o in found)
    by_layer = [sum(o.seconds for o in found if o.layer == n) for n in range(3)]
    assert by_layer[0] > by_layer[2]


def test_a_bad_fact_is_found_before_the_first_edit():
    from goldenlayers.errors import FactError

    with pytest.raises(FactError, match="not in the prompt"):
        sweep("llama").check([*FACTS, Fact("x", "Nowhere", "The capital is", "Vell")])
