"""Many facts one after another, against edits that are made and applied by hand."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import pytest
import torch

import goldenlayers as gl
from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.errors import EditError, FactError, SettingsError
from goldenlayers.models.sites import find_sites
from goldenlayers.study.milestone import Milestone, layers_in_words
from goldenlayers.study.sequence_files import save_sequences
from tests import tiny
from tests.editors.test_edit import same, state

VALUE = {"lr": 0.1, "steps": 4}
HOW = {"templates": ("", "Blue Kite. "), "fluency": False, **VALUE}
FACTS = tiny.FACTS[:5]


def weight(model, layer=1):
    return model.get_submodule(find_sites(model)[layer].name).weight


@pytest.mark.parametrize(
    ("name", "editor"),
    [("llama", "r-rome"), ("llama", "rome"), ("gpt2", "rome"), ("bloom", "r-rome")],
)
def test_the_weights_at_each_milestone_are_those_of_edits_applied_by_hand(name, editor):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    before = state(model)
    seen = {}

    def watch(stage, done, total):
        if stage == "answers after the edit" and done == total:
            seen[total] = weight(model).detach().clone()

    result = gl.edit_sequence(
        model, tokenizer, iter(FACTS), 1, editor, every=2, progress=watch, **HOW
    )
    assert same(model, before)
    assert [m.edits for m in result.milestones] == [0, 2, 4, 5]
    base = gl.baseline(model, tokenizer, FACTS, fluency=False)
    largest = 0.0
    norm = float(weight(model).detach().norm())
    for i, fact in enumerate(FACTS, start=1):
        edit = gl.edit(model, tokenizer, fact, 1, editor, templates=HOW["templates"], **VALUE)
        largest = max(largest, edit.updates[0].norm / norm)
        edit.apply(model)
        assert result.outcomes[i - 1].nll_after == pytest.approx(edit.outcomes[0].nll_after)
        if i in seen:
            torch.testing.assert_close(seen[i], weight(model).detach(), rtol=0, atol=1e-9 * norm)
            by_hand = gl.evaluate(model, tokenizer, FACTS[:i], baseline=base, fluency=False)
            found = next(m for m in result.milestones if m.edits == i)
            assert found.scores["rewrite"] == pytest.approx(by_hand.mean("rewrite"))
            assert found.standard_errors["rewrite"] == by_hand.standard_error("rewrite")
            growth = float(weight(model).detach().norm()) / norm
            assert found.weight_growth == pytest.approx(growth)
            assert abs(growth - 1) > 1e-5
    assert sorted(seen) == [2, 4, 5]
    assert result.milestones[-1].largest_update == pytest.approx(largest)


def test_the_base_is_the_first_milestone():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    result = gl.edit_sequence(model, tokenizer, FACTS[:2], 1, **{**HOW, "fluency": True})
    first, last = result.milestones
    assert (first.edits, first.weight_growth, first.largest_update, first.converged) == (0, 1, 0, 0)
    alone = gl.evaluate(model, tokenizer, FACTS[:2], generate=False)
    assert first.scores["rewrite"] == alone.mean("rewrite")
    assert first.scores["fluency"] == alone.mean("fluency")
    assert first.scores["locality"] is None  # no probes, no score
    assert first.standard_errors["fluency"] == alone.standard_error("fluency")
    assert last.edits == 2
    assert last.scores["fluency"] != first.scores["fluency"]


def test_the_editors_differ():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    growth = {
        name: gl.edit_sequence(model, tokenizer, FACTS, 1, name, **HOW).milestones[-1].weight_growth
        for name in ("rome", "r-rome")
    }
    assert growth["rome"] != pytest.approx(growth["r-rome"], rel=1e-3)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize(
    "where", ["answers before the edit", "answers after the edit", "rome edits"]
)
def test_the_model_is_as_before_after_an_exception(where, error):
    model = tiny.model("gpt2", torch.bfloat16).train()
    before = state(model)

    def fail(stage, done, total):
        if stage == where and total != 1:
            raise error

    with pytest.raises(error):
        gl.edit_sequence(
            model, tiny.tokenizer("gpt2"), FACTS[:3], 1, "rome", every=2, progress=fail, **HOW
        )
    assert same(model, before)
    assert model.training


def test_a_model_that_broke_is_scored_to_the_end(monkeypatch):
    from goldenlayers.editors.rome import RROME

    whole = RROME.edit

    def breaking(self, request):
        if request.facts[0].id == "3":
            raise EditError("u . k is not finite")
        made = whole(self, request)
        if request.facts[0].id == "2":  # an update that drives every logit to infinity
            (update,) = made.updates
            made = replace(made, updates=(replace(update, left=update.left * 1e300),))
        return made

    monkeypatch.setattr(RROME, "edit", breaking)
    model = tiny.model("llama")
    before = state(model)
    result = gl.edit_sequence(
        model, tiny.tokenizer("llama"), FACTS[:3], 1, every=1, **{**HOW, "fluency": True}
    )
    assert same(model, before)
    assert [m.edits for m in result.milestones] == [0, 1, 2, 3]
    assert "no update was made" in result.outcomes[2].reason
    json.dumps(result.to_dict(), allow_nan=False)


def test_the_files(tmp_path):
    sequences = [
        gl.edit_sequence(
            tiny.model("llama", torch.float32), tiny.tokenizer("llama"), FACTS[:3], 1, name,
            every=2, **HOW,
        )
        for name in ("r-rome", "rome")
    ]  # fmt: skip
    broken = Milestone(4, {"rewrite": 0.0, "mean": math.nan}, math.inf, math.inf, 0)
    sequences[1] = replace(sequences[1], milestones=(*sequences[1].milestones, broken))
    out = tmp_path / "new" / "out"
    written = save_sequences(sequences, out)
    assert sorted(p for p in out.iterdir() if p.is_file()) == sorted(written)
    kept = gl.Evaluation.load(out / "r-rome-layer-001" / "edits-0002")
    assert [f.id for f in kept.facts] == ["1", "2"]
    assert kept.mean("rewrite") == sequences[0].milestones[1].scores["rewrite"]
    assert {o["kind"] for o in kept.outputs} >= {"rewrite"}
    assert (out / "rome-layer-001" / "edits-0003" / "outputs.jsonl").is_file()
    edit = gl.Edit.load(out / "rome-layer-001" / "edit.safetensors")
    assert edit.updates == sequences[1].edit.updates
    assert [o.fact.id for o in edit.outcomes] == ["1", "2", "3"]
    assert (out / "sequence.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    text = (out / "sequence.json").read_text(encoding="utf-8")
    data = json.loads(text, parse_constant=pytest.fail)["sequences"]
    assert [s["editor"] for s in data] == ["r-rome", "rome"]
    assert [m["edits"] for m in data[0]["milestones"]] == [0, 2, 3]
    assert data[1]["milestones"][-1]["weight_growth"] is None
    assert len(data[0]["outcomes"]) == 3
    assert data[0]["outcomes"][0]["loss"] == sequences[0].outcomes[0].steps[-1].loss
    assert data[0]["settings"]["facts"] == ["1", "2", "3"]
    rows = list(csv.DictReader((out / "sequence.csv").open(encoding="utf-8")))
    assert [(r["editor"], r["edits"]) for r in rows[:4]] == [
        ("r-rome", "0"), ("r-rome", "2"), ("r-rome", "3"), ("rome", "0"),
    ]  # fmt: skip
    assert float(rows[1]["rewrite"]) == sequences[0].milestones[1].scores["rewrite"]
    assert rows[-1]["weight_growth"] == rows[-1]["mean"] == rows[-1]["locality"] == ""
    with pytest.raises(SettingsError, match="no sequences"):
        save_sequences([], out)


def moments(model, layers):
    generator = torch.Generator().manual_seed(0)
    found = {}
    for site in (find_sites(model)[n] for n in layers):
        keys = torch.randn(4 * site.d_in, site.d_in, generator=generator, dtype=torch.float64)
        found[site.layer] = KeyMoment(site.layer, site.name, keys.T @ keys, len(keys))
    return found


@pytest.mark.parametrize(
    ("editor", "more"),
    [("memit", {"lam": 0.1}), ("alphaedit", {"threshold": 1.0, "l2": 0.1}), ("ft-m", {})],
)
def test_batches_are_edits_applied_by_hand(editor, more):
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    layers = [1] if editor == "ft-m" else [1, 2]
    more = {**HOW, **more} if editor != "ft-m" else {"fluency": False, "steps": 3}
    known = None if editor == "ft-m" else moments(model, layers)
    before = state(model)
    result = gl.edit_sequence(
        model, tokenizer, FACTS, layers, editor, batch=2, every=3, covariance=known, **more
    )
    assert same(model, before)
    assert [m.edits for m in result.milestones] == [0, 4, 5]  # the first batch that brings 3
    del more["fluency"]
    parts, largest = [], 0.0
    norm = math.hypot(*(float(weight(model, n).detach().norm()) for n in layers))
    for n in (0, 2, 4):
        earlier = gl.Edit.compose(parts) if parts else None
        part = gl.edit(
            model, tokenizer, FACTS[n : n + 2], layers, editor, covariance=known, earlier=earlier,
            **more,
        )  # fmt: skip
        largest = max(largest, math.hypot(*part.norms.values()) / norm)
        parts.append(part)
        part.apply(model)
    assert result.milestones[-1].largest_update == pytest.approx(largest)
    by_hand = gl.Edit.compose(parts)
    growth = math.hypot(*(float(weight(model, n).detach().norm()) for n in layers)) / norm
    assert result.milestones[-1].weight_growth == pytest.approx(growth)
    assert [u.layer for u in result.edit.updates] == layers
    for ours, theirs in zip(result.edit.updates, by_hand.updates, strict=True):
        torch.testing.assert_close(
            ours.left @ ours.right.T, theirs.left @ theirs.right.T, rtol=0, atol=1e-8
        )
        assert (ours.keys is None) == (editor != "alphaedit")
    expected = [o.nll_after for o in by_hand.outcomes]
    assert [o.nll_after for o in result.outcomes] == pytest.approx(expected)


def test_one_after_another_is_a_batch_of_one_for_rome():
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer("gpt2")
    one, five = (
        gl.edit_sequence(model, tokenizer, FACTS, 1, "rome", batch=n, every=5, **HOW)
        for n in (1, 5)
    )
    assert one.edit.updates == five.edit.updates
    assert five.settings["batch"] == 1


def test_the_perplexity_is_that_of_the_edited_model(tmp_path):
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    file = tmp_path / "text.txt"
    file.write_text("Mira Olen lives in Rivermouth, and the sea is cold.")
    result = gl.edit_sequence(model, tokenizer, FACTS[:2], 1, text=str(file), **HOW)
    text = file.read_text()
    assert result.milestones[0].scores["perplexity"] == gl.perplexity(model, tokenizer, text)
    with result.edit.applied(model):
        edited = gl.perplexity(model, tokenizer, text)
    assert result.milestones[1].scores["perplexity"] == pytest.approx(edited)
    assert edited != pytest.approx(result.milestones[0].scores["perplexity"], rel=1e-4)
    assert result.milestones[1].seconds > 0


def test_layers_in_words():
    assert layers_in_words([4]) == "layer 4"
    assert layers_in_words([4, 5, 6]) == "layers 4 to 6"
    assert layers_in_words([4, 6]) == "layers 4, 6"


def test_refusals():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")

    def refused(error, match, facts=FACTS, layer=1, **more):
        with pytest.raises(error, match=match):
            gl.edit_sequence(model, tokenizer, facts, layer, **{**HOW, **more})

    refused(SettingsError, "every 0: expected a whole number", every=0)
    refused(SettingsError, "batch 0: expected a whole number", batch=0)
    refused(SettingsError, "r-rome edits one layer, 2 were given", layer=[1, 2])
    refused(SettingsError, "memit needs the covariance", editor="memit")
    refused(SettingsError, "every True: expected a whole number", every=True)
    refused(SettingsError, "every 2.5", every=2.5)
    refused(SettingsError, "layer 4 does not exist", layer=4)
    refused(SettingsError, "editor 'mend' is unknown", editor="mend")
    refused(FactError, "two facts have the id '2'", facts=[*FACTS, FACTS[1]])
    refused(FactError, "no facts to edit", facts=[])
