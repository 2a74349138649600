"""Pieces that look at single edits: texts before and after, and what else they change."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from goldenlayers.covariance.compute import key_covariance
from goldenlayers.editors.run import make_editor
from goldenlayers.editors.templates import make_templates
from goldenlayers.editors.update import Update
from goldenlayers.errors import ResultError
from goldenlayers.facts.fact import Fact
from goldenlayers.metrics.lm_eval import ask_tasks
from goldenlayers.metrics.perplexity import Reading, read_text, read_with
from goldenlayers.models.sites import find_sites
from goldenlayers.report.before_after import look
from goldenlayers.results import DAMAGE, shown
from goldenlayers.study.comparison import EDITS_NAME, JSON_NAME
from goldenlayers.study.comparison_files import read_edits
from goldenlayers.study.draws import parts
from goldenlayers.study.run.at_work import AtWork
from goldenlayers.study.run.pieces import COMPARE, Piece, comparison_variant
from goldenlayers.sweep.attempt import Attempts, Unchecked
from goldenlayers.sweep.objective import LayerScores
from goldenlayers.sweep.windows import width_of, windows_of

NAME = "edits.json"
MOST = 3  # prompts of each kind that a story tells


def edited(at: AtWork, piece: Piece) -> None:
    """Tell the best and the worst edits at the chosen layer by texts, and what else they change."""
    assert piece.data is not None
    assert piece.editor is not None
    what = piece.what
    _, tested = parts(at.facts_of(piece), what["test"])
    by_id = {f.id: f for f in tested}
    chosen_by, layer, scores = _chosen(at, piece)
    attempts = _attempts(at, piece, layer)
    order = sorted(scores, key=lambda i: (-scores[i], i))
    told = [("best", i) for i in order[: what["stories"]]]
    told += [("worst", i) for i in order[::-1][: what["stories"]] if i not in dict(told).values()]
    stories = []
    for n, (kind, fact_id) in enumerate(told):
        at.progress("texts before and after", n, len(told))
        stories.append(
            {"kind": kind, "score": scores[fact_id], **_story(at, attempts, by_id[fact_id])}
        )
    side = _side_effects(at, piece, attempts, tested[: what["side_effects"]])
    at.run.write(
        piece.place / NAME,
        {
            "layer": layer,
            "layers": [s.layer for s in attempts.request.sites],
            "chosen_by": chosen_by,
            "objective": at.study.objective,
            "stories": stories,
            "side_effects": side,
            "settings": dict(attempts.settings),
        },
    )


def _chosen(at: AtWork, piece: Piece) -> tuple[str, int, dict[str, float]]:
    """Return the first locator, the layer that it chose most often, and each fact's score there."""
    place = (
        at.run.path
        / replace(piece, kind=COMPARE, variant=comparison_variant(piece.what["proxy"])).place
    )
    try:
        data = json.loads((place / JSON_NAME).read_text(encoding="utf-8"))
        methods = [m for m in data["methods"] if m["choices"]]
        method = next((m for m in methods if m["method"] == "lga"), methods[0])
        layers = Counter(int(c["layer"]) for c in method["choices"])
        edits = read_edits(place / EDITS_NAME)
    except (OSError, *DAMAGE) as error:
        raise ResultError(
            f"{place}: cannot be read: {shown(error)}; remove it to make it anew"
        ) from None
    layer = min(layers, key=lambda n: (-layers[n], n))
    outcomes = {(e.fact, e.layer): e for e in edits if e.layer == layer}
    scores = LayerScores.of(outcomes, [fact for fact, _ in outcomes], [layer])
    each = scores.of_each_fact(at.study.objective)[:, 0].tolist()
    return (
        str(method["method"]),
        layer,
        {fact: v for fact, v in zip(scores.facts, each, strict=True) if math.isfinite(v)},
    )


def _attempts(at: AtWork, piece: Piece, layer: int) -> Attempts:
    assert piece.editor is not None
    spec, seed = piece.editor, piece.what["seed"]
    model, tokenizer = at.loaded.model, at.loaded.tokenizer
    editor = make_editor(spec.editor, **dict(spec.settings))
    covariance = None
    if spec.covariance not in (None, "none"):
        sites = find_sites(model)
        wanted = windows_of([s for s in sites if s.layer == layer], sites, width_of(editor))
        covariance = key_covariance(
            model, tokenizer, [s.layer for s in wanted], text=spec.covariance, seed=seed,
            say=at.say, progress=at.progress,
        )  # fmt: skip
    templates = make_templates(model, tokenizer, spec.templates, seed=seed)
    return Attempts.at(model, tokenizer, layer, editor, templates, covariance, None, seed)


@dataclass(frozen=True)
class Asked:
    """A prompt of a story: what it is of the fact, and what should be said after the edit."""

    kind: str
    prompt: str
    wanted: str


def asked_of(fact: Fact) -> Iterator[Asked]:
    """Yield the prompts by which an edit is told, at most `MOST` of a kind."""
    yield Asked("the edit", fact.prompt, fact.target_new)
    for prompt in fact.rephrase_prompts[:MOST]:
        yield Asked("a rephrasing", prompt, fact.target_new)
    for probe in [p for probes in fact.portability.values() for p in probes][:MOST]:
        yield Asked("what follows from it", probe.prompt, probe.answers[0])
    for untouched in [p for probes in fact.locality.values() for p in probes][:MOST]:
        yield Asked("what must stay", untouched.prompt, "")


def _story(at: AtWork, attempts: Attempts, fact: Fact) -> dict[str, Any]:
    model, tokenizer = at.loaded.model, at.loaded.tokenizer
    asked = list(asked_of(fact))
    # all of them are prompts that the model continues, whatever they are of the fact
    prompts = replace(fact, rephrase_prompts=tuple(a.prompt for a in asked[1:]))
    (before,) = look(model, tokenizer, [prompts])
    updates, outcome = attempts.edit(fact)
    with Unchecked(updates).applied(model):
        (after,) = look(model, tokenizer, [prompts])
    return {
        "fact": fact.to_record(),
        "status": outcome.status,
        "reason": outcome.reason,
        "changes": [
            {"kind": a.kind, "prompt": a.prompt, "wanted": a.wanted, "before": old, "after": new}
            for a, old, new in zip(asked, before.continuations, after.continuations, strict=True)
        ],
    }


def _side_effects(
    at: AtWork, piece: Piece, attempts: Attempts, facts: Sequence[Fact]
) -> dict[str, Any] | None:
    if not facts:
        return None
    model, tokenizer, what = at.loaded.model, at.loaded.tokenizer, piece.what
    text = read_text(what["text"])
    before = read_with(model, tokenizer, text)
    single = []
    together: tuple[Update, ...] = ()
    for n, fact in enumerate(facts):
        at.progress("side effects", n, len(facts))
        updates, outcome = attempts.edit(fact)
        with Unchecked(updates).applied(model):
            after = read_with(model, tokenizer, text)
        single.append({"fact": fact.id, "status": outcome.status, **_told(before, after)})
    for fact in facts:  # into the model as those before left it
        with Unchecked(together).applied(model):
            updates, _ = attempts.edit(fact)
        together = (*together, *updates)
    with Unchecked(together).applied(model):
        after = read_with(model, tokenizer, text)
        asked = _tasks(at, what)
    return {
        "text": what["text"],
        "tokens": len(before.next_tokens),
        "perplexity_before": before.perplexity,
        "single": single,
        "together": {"facts": len(facts), **_told(before, after)},
        "lm_eval": None if asked is None else {"before": _tasks(at, what), "after": asked},
    }


def _tasks(at: AtWork, what: Mapping[str, Any]) -> dict[str, Any] | None:
    if not what["lm_eval"]:
        return None
    return ask_tasks(
        at.loaded.model, at.loaded.tokenizer, what["lm_eval"], limit=what["lm_eval_limit"],
        include_path=what["lm_eval_path"], seed=what["seed"],
    )  # fmt: skip


def _told(before: Reading, after: Reading) -> dict[str, float | None]:
    there = after.perplexity
    return {
        "perplexity": there if math.isfinite(there) else None,
        "agreement": before.agreement(after),
    }
