"""Scores of a model before and after an edit against slow answers, one row at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from goldenlayers.errors import FactError, ModelError, SettingsError
from goldenlayers.facts import Fact, LocalityProbe, PortabilityProbe
from goldenlayers.metrics.baseline import baseline
from goldenlayers.metrics.decode import end_tokens
from goldenlayers.metrics.evaluate import evaluate
from goldenlayers.metrics.evaluation import Evaluation
from goldenlayers.metrics.fluency import TOKENS, fluency
from goldenlayers.metrics.known import begins_with, normalise
from goldenlayers.metrics.scores import OF_A_FACT
from goldenlayers.models.text import Row
from tests import tiny
from tests.metrics.samples import (
    BARE,
    FACTS,
    PLAIN,
    RICH,
    Noise,
    assert_same_state,
    prompt_of,
    row_of,
    slow_greedy,
    slow_reply,
    state,
)

# The tiny models of these families have positions for 128 tokens or more and all tokenizer kinds.
QUICK = ["llama", "gpt2", "gemma2"]


def average(values):
    values = [v for v in values if v is not None]
    return sum(values) / len(values) if values else None


def first_line(tokenizer, model, ids):
    ends = end_tokens(tokenizer, model)
    kept = []
    for token in ids:
        if token in ends:
            break
        kept.append(token)
    text = tokenizer.decode(kept, skip_special_tokens=True).strip()
    return text.splitlines()[0].rstrip() if text else ""


def asked_of(fact):
    """(kind, subtype, prompt, accepted, rival) of each probe, spelt out."""
    new = [fact.target_new, *fact.aliases]
    out = [("rewrite", "", fact.prompt, new, fact.target_old)]
    out += [("rephrase", "", p, new, fact.target_old) for p in fact.rephrase_prompts]
    for kind, found in fact.locality.items():
        for p in found:
            near = kind == "same_relation" and p.answer and p.answer != fact.target_new
            accepted = [p.answer] if p.answer else []
            out.append(("locality", kind, p.prompt, accepted, fact.target_new if near else None))
    for kind, found in fact.portability.items():
        out += [("portability", kind, p.prompt, list(p.answers), None) for p in found]
    return out


def slow_outputs(model, tokenizer, fact, own_rows):
    """Everything that a model says to a fact's probes; own rows are made at the first call."""
    out = []
    for i, (kind, subtype, prompt, accepted, rival) in enumerate(asked_of(fact)):
        ids = prompt_of(tokenizer, prompt)
        n = max((len(row_of(tokenizer, prompt, a).answer) for a in accepted), default=2) + 3
        written = slow_greedy(model, ids, n)
        if accepted:
            row = row_of(tokenizer, prompt, accepted[0])
        else:
            row = own_rows.setdefault(i, Row((*ids, *written), len(ids)))
        argmax, logs = slow_reply(model, row)
        rival_logs = slow_reply(model, row_of(tokenizer, prompt, rival))[1] if rival else None
        out.append(
            {
                "kind": kind,
                "subtype": subtype,
                "accepted": accepted,
                "row": row,
                "argmax": argmax,
                "logs": logs,
                "rival": rival_logs,
                "ids": written,
                "text": first_line(tokenizer, model, written),
            }
        )
    return out


def slow_scores(before, after):
    """The scores of section 6, in plain loops."""

    def share(found, wanted):
        return sum(f == w for f, w in zip(found, wanted, strict=True)) / len(wanted)

    def pick(kind):
        return [(b, a) for b, a in zip(before, after, strict=True) if a["kind"] == kind]

    def accepted(a):
        # of an answer of punctuation alone nothing is left when normalised
        return float(
            any(
                begins_with(a["text"], x) if normalise(x) else a["text"].startswith(x.strip())
                for x in a["accepted"]
            )
        )

    def unchanged(b, a):
        texts = [normalise(side["text"]) for side in (b, a)]
        return float(texts[0] == texts[1] if any(texts) else a["text"] == b["text"])

    def wins(a):
        if a["rival"] is None:
            return None
        return float(average(a["logs"]) > average(a["rival"]))

    def subtypes(kind, value):
        names = {a["subtype"] for _, a in pick(kind)}
        return average(
            average(value(b, a) for b, a in pick(kind) if a["subtype"] == n) for n in names
        )

    def hits(a):
        return share(a["argmax"], a["row"].answer)

    scores = {
        "rewrite": average(hits(a) for _, a in pick("rewrite")),
        "rephrase": average(hits(a) for _, a in pick("rephrase")),
        "locality": subtypes("locality", lambda b, a: share(a["argmax"], b["argmax"])),
        "portability": subtypes("portability", lambda b, a: hits(a)),
        "generated_rewrite": average(accepted(a) for _, a in pick("rewrite")),
        "generated_rephrase": average(accepted(a) for _, a in pick("rephrase")),
        "generated_locality": subtypes("locality", unchanged),
        "generated_portability": subtypes("portability", lambda b, a: accepted(a)),
        "efficacy": average(wins(a) for _, a in pick("rewrite")),
        "paraphrase": average(wins(a) for _, a in pick("rephrase")),
        "neighbourhood": average(wins(a) for _, a in pick("locality")),
        "nll_new": -average(after[0]["logs"]),
    }
    four = ("rewrite", "rephrase", "locality", "portability")
    scores["mean"] = average(scores[n] for n in four)
    return scores


def with_true_answers(model, tokenizer, fact):
    """Let some answers be what the unedited model says, so that not every share is 0."""

    def said(prompt):
        ids = slow_greedy(model, prompt_of(tokenizer, prompt), 2)
        return first_line(tokenizer, model, ids) or "k"

    portability = {
        "alias": (PortabilityProbe("Miss Quill was born in", (said("Miss Quill was born in"),)),),
        **{k: v for k, v in fact.portability.items() if k != "alias"},
    }
    return replace(fact, portability=portability, target_old=said(fact.prompt))


@pytest.mark.parametrize("name", tiny.MODELS)
def test_equals_slow_answers_and_plain_loops(name):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    facts = [with_true_answers(model, tokenizer, RICH), BARE]
    edit = Noise(name, 0.6)
    before_state = state(model)
    found = evaluate(model, tokenizer, facts, edit=edit, fluency=False)
    assert_same_state(state(model), before_state)
    assert edit.applications == 1

    outputs = {f.id: [o for o in found.outputs if o["fact"] == f.id] for f in facts}
    moved = False
    for fact, scored in zip(facts, found.facts, strict=True):
        own_rows = {}
        before = slow_outputs(model, tokenizer, fact, own_rows)
        with Noise(name, 0.6).applied(model):
            after = slow_outputs(model, tokenizer, fact, own_rows)
        for record, *sides in zip(outputs[fact.id], before, after, strict=True):
            assert record["answer_ids"] == list(sides[0]["row"].answer)
            for side, slow in zip(("before", "after"), sides, strict=True):
                assert record[f"argmax_ids_{side}"] == list(slow["argmax"])
                assert record[f"log_probs_{side}"] == pytest.approx(slow["logs"], abs=1e-6)
                assert (record[f"rival_log_probs_{side}"] is None) is (slow["rival"] is None)
                if slow["rival"]:
                    close = pytest.approx(slow["rival"], abs=1e-6)
                    assert record[f"rival_log_probs_{side}"] == close
                assert record[f"generated_ids_{side}"] == list(slow["ids"])
                assert record[f"generated_{side}"] == slow["text"]
            moved |= record["argmax_ids_before"] != record["argmax_ids_after"]
        for got, slow in ((scored.scores, slow_scores(before, after)),
                          (scored.before, slow_scores(before, before))):  # fmt: skip
            for score, value in slow.items():
                close = value if value is None else pytest.approx(value, abs=1e-6)
                assert got[score] == close, score
        assert scored.scores["fluency"] is None
    assert moved  # an edit that changes nothing would prove nothing


@pytest.mark.parametrize("name", QUICK)
def test_float32_with_left_padding_agrees_with_float64(name):
    tokenizer = tiny.tokenizer(name)
    found = [
        evaluate(tiny.model(name, dtype), tokenizer, FACTS, edit=Noise(name, 0.6))
        for dtype in (torch.float64, torch.float32)
    ]
    for wide, narrow in zip(*(e.facts for e in found), strict=True):
        for score in OF_A_FACT:
            value = wide.scores[score]
            close = value if value is None else pytest.approx(value, abs=1e-4)
            assert narrow.scores[score] == close, score


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", QUICK)
def test_half_precision_without_an_edit_changes_nothing(name, dtype):
    model, tokenizer = tiny.model(name, dtype), tiny.tokenizer(name)
    before = baseline(model, tokenizer, FACTS, fluency=False)
    for fact in FACTS:
        found = evaluate(model, tokenizer, [fact], baseline=before, fluency=False).facts[0]
        assert found.scores == found.before  # to the last bit: the batches are the same
        assert found.scores["locality"] in (1, None)


@pytest.mark.parametrize("name", QUICK)
def test_one_fact_at_a_time_is_the_same(name):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    edit = Noise(name)
    whole = evaluate(model, tokenizer, FACTS, edit=edit, seed=3)
    before = baseline(model, tokenizer, FACTS, seed=3)
    parts = [
        evaluate(
            model, tokenizer, [f], baseline=before.only([f.id]), edit=edit, seed=3
        )
        for f in FACTS
    ]  # fmt: skip
    joined = Evaluation.join(parts)
    assert joined.facts == whole.facts
    assert joined.outputs == whole.outputs
    assert joined.summary() == whole.summary()
    assert joined.settings == whole.settings
    # a fact's own baseline, too
    alone = baseline(model, tokenizer, [RICH], seed=3)
    assert alone.of(RICH) == before.of(RICH)


def test_scores_by_kind_are_those_of_the_raw_outputs():
    """Plain loops over the outputs: a mean per kind and fact, then over the facts that have it."""
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    unequal = replace(
        PLAIN,
        locality={
            "same_relation": RICH.locality["same_relation"] + RICH.locality["unrelated"][1:],
            "[red]x[/]": (LocalityProbe("The maker of"),),
        },
    )
    one_kind = replace(BARE, locality={"unrelated": RICH.locality["unrelated"]})
    facts = [RICH, unequal, one_kind, replace(BARE, id="without any")]
    found = evaluate(model, tokenizer, facts, edit=Noise("llama", 0.6), fluency=False)
    assert found.kinds == (
        "locality/same_relation",
        "locality/unrelated",
        "locality/[red]x[/]",
        "portability/alias",
        "portability/reasoning",
        "generated_locality/same_relation",
        "generated_locality/unrelated",
        "generated_locality/[red]x[/]",
        "generated_portability/alias",
        "generated_portability/reasoning",
    )
    for name in found.kinds:
        score, kind = name.split("/", 1)
        column = "right" if score.startswith("generated_") else "score"
        for side in ("before", "after"):
            of_facts = []
            for fact, scored in zip(facts, found.facts, strict=True):
                own = [
                    float(o[f"{column}_{side}"])
                    for o in found.outputs
                    if o["fact"] == fact.id
                    and (o["kind"], o["subtype"]) == (score.removeprefix("generated_"), kind)
                ]
                kinds = scored.kinds_before if side == "before" else scored.kinds
                assert (name in kinds) is bool(own)
                if own:
                    assert kinds[name] == sum(own) / len(own)
                    of_facts.append(sum(own) / len(own))
            expected = pytest.approx(sum(of_facts) / len(of_facts))
            assert found.mean(name, before=side == "before") == expected
            assert found.count(name) == len(of_facts)
    for scored in found.facts:  # the fact's own score: each of its kinds counts the same
        for score in ("locality", "portability", "generated_locality", "generated_portability"):
            own = [v for n, v in scored.kinds.items() if n.startswith(f"{score}/")]
            assert scored.scores[score] == (pytest.approx(average(own)) if own else None)
    assert found.facts[-1].kinds == {}
    of_kinds = [found.facts[1].kinds[f"locality/{k}"] for k in unequal.locality]
    assert len(set(of_kinds)) == 2  # or the weights would not matter


def test_fluency_is_that_of_the_kept_text():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    found = evaluate(model, tokenizer, FACTS, edit=Noise("llama"))
    for fact, scored in zip(FACTS, found.facts, strict=True):
        (record,) = [o for o in found.outputs if (o["fact"], o["kind"]) == (fact.id, "fluency")]
        prompt = prompt_of(tokenizer, fact.prompt)
        assert record["prompt_ids"] == list(prompt)
        for side, scores in (("before", scored.before), ("after", scored.scores)):
            ids = record[f"generated_ids_{side}"]
            assert len(prompt) + len(ids) == TOKENS
            assert not set(ids) & end_tokens(tokenizer, model)
            text = tokenizer.decode([*prompt, *ids], skip_special_tokens=True)
            assert record[f"text_{side}"] == text
            assert text.startswith(fact.prompt[:2])  # the prompt is included
            assert scores["fluency"] == record[f"score_{side}"] == fluency(text)
        assert record["text_before"] != record["text_after"]
    other = evaluate(model, tokenizer, FACTS, edit=Noise("llama"), seed=1)
    assert other.mean("fluency") != found.mean("fluency")


def test_without_edit_and_baseline_before_is_after():
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer("gpt2")
    found = evaluate(model, tokenizer, FACTS)
    assert found.settings["edit"] == "none"
    assert set(found.seconds) == {"before"}
    for scored in found.facts:
        assert scored.scores == scored.before
    assert found.mean("locality") == found.mean("generated_locality") == 1
    assert found.count("locality") == 1


def test_an_edit_in_the_weights_equals_one_applied():
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer("gpt2")
    edit = Noise("gpt2")
    before = baseline(model, tokenizer, FACTS)
    applied = evaluate(model, tokenizer, FACTS, baseline=before, edit=edit)
    with edit.applied(model):
        inside = evaluate(model, tokenizer, FACTS, baseline=before)
    assert inside.facts == applied.facts
    assert (inside.settings["edit"], applied.settings["edit"]) == ("in the model", "applied")


def test_the_unedited_model_is_asked_once():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    before = baseline(model, tokenizer, FACTS)
    calls = []
    handle = model.register_forward_pre_hook(lambda m, args: calls.append(1))
    evaluate(model, tokenizer, [RICH], baseline=before, edit=Noise("llama"), generate=False,
             fluency=False)  # fmt: skip
    handle.remove()
    assert len(calls) <= 2  # all probes of the fact, teacher-forced, in a batch or two
    assert [e.fact.id for e in before.only(["2"]).facts.values()] == ["2"]


@pytest.mark.parametrize("where", ["edit", "model"])
def test_the_model_comes_back_after_an_exception(where):
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    model.train()
    model.model.layers[2].eval()
    model.lm_head.weight.requires_grad_(False)
    expected = state(model)
    if where == "edit":
        with pytest.raises(RuntimeError, match="the edit failed"):
            evaluate(model, tokenizer, FACTS, edit=Noise("llama", fail=True), fluency=False)
    else:
        with pytest.raises(ModelError, match="vocabulary"):
            evaluate(model, LargeTokenizer(tokenizer), FACTS)
    assert_same_state(state(model), expected)


class LargeTokenizer:
    """A tokenizer whose ids lie beyond the model."""

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def __call__(self, *args, **kwargs):
        encoded = self._tokenizer(*args, **kwargs)
        encoded["input_ids"] = [[i + 5000 for i in row] for row in encoded["input_ids"]]
        return encoded


def test_without_generation_there_are_no_generated_scores():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    full = baseline(model, tokenizer, FACTS)
    for given in (None, full):
        found = evaluate(
            model, tokenizer, FACTS, baseline=given, edit=Noise("llama"), generate=False,
            fluency=False,
        )  # fmt: skip
        for scored in found.facts:
            for side in (scored.scores, scored.before):
                assert all(v is None for n, v in side.items() if n.startswith("generated"))
                assert side["fluency"] is None
        assert found.count("rewrite") == 3
        assert all(o["generated_before"] is None for o in found.outputs)
        assert {o["kind"] for o in found.outputs} == {
            "rewrite",
            "rephrase",
            "locality",
            "portability",
        }


def test_what_does_not_fit_the_context_is_left_out_and_counted():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")  # 128 positions
    long = replace(PLAIN, id="long", prompt="the " * 300 + PLAIN.prompt)
    found = evaluate(model, tokenizer, [long, PLAIN])
    assert [(s.fact, s.kind) for s in found.skipped] == [("long", "rewrite"), ("long", "fluency")]
    assert found.summary()["skipped_probes"] == 2
    assert set(found.facts[0].scores.values()) == {None}
    assert found.count("rewrite") == found.count("fluency") == 1
    # a context too short for the text, not for the probes
    model.config.max_position_embeddings = 60
    found = evaluate(model, tokenizer, [PLAIN])
    assert found.skipped[0].reason == (
        "the text for fluency has 100 tokens, the model's context is 60"
    )
    assert found.mean("rewrite") is not None
    assert evaluate(model, tokenizer, [PLAIN], fluency=False).skipped == ()


def test_a_model_that_the_edit_breaks_gets_finite_scores(tmp_path):
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    found = evaluate(model, tokenizer, FACTS, edit=Noise("llama", float("nan")))
    assert found.mean("nll_new") == 1e4
    assert found.mean("efficacy") == 0
    found.save(tmp_path)  # JSON knows no NaN
    assert Evaluation.load(tmp_path).facts == found.facts
    assert not torch.isnan(model.model.layers[1].mlp.down_proj.weight).any()


def test_own_continuation_ends_with_the_text():
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer("gpt2")
    fact = replace(BARE, locality={"x": (LocalityProbe("In Süd-Öland"),)})
    own = slow_greedy(model, prompt_of(tokenizer, "In Süd-Öland"), 5)
    row = baseline(model, tokenizer, [fact], fluency=False).of(fact).asked[1].row
    assert row.answer == own
    end = next(i for i in range(1, 5) if own[i] not in own[:i])
    model.generation_config.eos_token_id = own[end]
    row = baseline(model, tokenizer, [fact], fluency=False).of(fact).asked[1].row
    assert row.answer == own[: end + 1]


def test_progress_by_stage():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    seen = {}
    evaluate(
        model,
        tokenizer,
        FACTS,
        edit=Noise("llama"),
        progress=lambda stage, done, total: seen.setdefault(stage, []).append((done, total)),
    )
    assert list(seen) == [
        "answers before the edit",
        "texts before the edit",
        "answers after the edit",
        "texts after the edit",
    ]
    assert all(steps[-1] == (3, 3) for steps in seen.values())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"facts": []}, FactError, "no facts to score"),
        ({"facts": [PLAIN, PLAIN]}, FactError, "two facts have the id '5'"),
        ({"facts": PLAIN}, SettingsError, "found one Fact where several"),
        ({"seed": -1}, SettingsError, "seed -1: expected a whole number"),
        ({"seed": True}, SettingsError, "seed True"),
        ({"seed": 1.5}, SettingsError, "seed 1.5"),
        ({"edit": "edit.safetensors"}, SettingsError, "edit is a str; expected an object"),
    ],
)
def test_wrong_arguments(change, error, message):
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    arguments = {"facts": [PLAIN], "edit": None, "seed": 0, **change}
    with pytest.raises(error, match=message):
        evaluate(model, tokenizer, **arguments)


def test_a_baseline_that_does_not_fit():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    bare = baseline(model, tokenizer, [PLAIN], generate=False, fluency=False)
    go = lambda facts, **kw: evaluate(model, tokenizer, facts, baseline=bare, **kw)  # noqa: E731
    with pytest.raises(SettingsError, match="generate=False and has nothing to compare"):
        go([PLAIN], fluency=False)
    with pytest.raises(SettingsError, match="fluency=False and has nothing to compare"):
        go([PLAIN], generate=False)
    with pytest.raises(SettingsError, match="the baseline has no fact '2', only 1"):
        go([RICH], generate=False, fluency=False)
    with pytest.raises(SettingsError, match="another fact under the id '5'"):
        go([replace(PLAIN, target_new="flute")], generate=False, fluency=False)
    with pytest.raises(SettingsError, match="no fact 'x'"):
        bare.only(["x"])
    go([replace(PLAIN)], generate=False, fluency=False)  # an equal fact will do
    seeded = baseline(model, tokenizer, [PLAIN], seed=1)
    with pytest.raises(SettingsError, match="seed 0: the baseline's texts were drawn with seed 1"):
        evaluate(model, tokenizer, [PLAIN], baseline=seeded)
    evaluate(model, tokenizer, [PLAIN], baseline=seeded, fluency=False)


@pytest.mark.bundled
def test_the_bundled_model_knows_some_answers(bundled):
    facts = [
        Fact(
            "paris", "France", "The capital of France is", "Paris", "Lyon", ("the City of Light",)
        ),
        Fact("lyon", "France", "The capital of France is", "Lyon", "Paris"),
        Fact("alias", "France", "The capital of France is", "Lyon", "Lyon", ("Paris",)),
    ]
    found = evaluate(bundled.model, bundled.tokenizer, facts, fluency=False)
    by_id = {f.id: f.scores for f in found.facts}
    names = ("rewrite", "generated_rewrite", "efficacy")
    assert [by_id["paris"][n] for n in names] == [1, 1, 1]
    assert [by_id["lyon"][n] for n in names] == [0, 0, 0]
    assert [by_id["alias"][n] for n in names] == [0, 1, None]
    assert by_id["paris"]["nll_new"] < 2 < by_id["lyon"]["nll_new"]
