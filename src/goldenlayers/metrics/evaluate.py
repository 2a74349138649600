"""Scoring a model, with or without an edit, on a list of facts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from goldenlayers.errors import SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.metrics.baseline import Baseline, FactBefore, checked
from goldenlayers.metrics.baseline import baseline as ask_unedited
from goldenlayers.metrics.decode import decode, end_tokens
from goldenlayers.metrics.evaluation import Evaluation, FactScores
from goldenlayers.metrics.fluency import TOKENS, TOP_K
from goldenlayers.metrics.known import EXTRA_TOKENS
from goldenlayers.metrics.outputs import fluency_output, probe_output
from goldenlayers.metrics.questions import OWN_TOKENS
from goldenlayers.metrics.replies import Answered, Reply, Texts, replies
from goldenlayers.metrics.samples import write_texts
from goldenlayers.metrics.scores import fact_scores, subtype_scores
from goldenlayers.models.chat import chat_setting
from goldenlayers.models.guard import untouched
from goldenlayers.passes.room import shortage_told
from goldenlayers.progress import Progress, silent

# What a model says to the probes of each fact, and its texts for fluency.
Said = tuple[list[tuple[Reply, ...]], list[tuple[int, ...] | None]]


def evaluate(
    model: Any,
    tokenizer: Any,
    facts: Sequence[Fact],
    *,
    baseline: Baseline | None = None,
    edit: Any = None,
    generate: bool = True,
    fluency: bool = True,
    seed: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Score a model on facts, teacher-forced and generated.

    Four ways to call it: with `edit`, the unedited model is asked first, unless `baseline` holds
    its answers, then the edited one. With `baseline` alone, the model as it stands is compared with
    it, for example after an edit was written into its weights. With neither, the model is asked
    once and before = after, so that locality is 1 by definition.

    Args:
        model: A causal language model of transformers; returned as it came.
        tokenizer: Its fast tokenizer.
        facts: The facts, at least one, ids unique. For a loop over layers, one at a time, with a
            baseline of all of them; `Evaluation.join` puts the results together.
        baseline: What the unedited model says to at least these facts.
        edit: An object whose `applied(model)` is a context manager; applied while it is open.
        generate: Compute the generated scores.
        fluency: Compute the fluency; the slowest part.
        seed: What its texts are drawn with, 0 or more.
        progress: Called with the facts done, by stage.

    Returns:
        Scores of each fact before and after, and every raw output.

    Raises:
        FactError: If there are no facts, or two have one identifier.
        ModelError: If tokenizer and model do not go together.
        SettingsError: If the baseline lacks what is to be compared, or `edit` is no edit.
        MemoryShortError: If memory does not suffice for one row or text alone.
    """
    facts = checked(facts, seed)
    _check_edit(edit)
    if baseline is not None:
        _check_baseline(
            baseline, generate=generate, fluency=fluency, seed=seed,
            chat=chat_setting(tokenizer).get("chat"),
        )  # fmt: skip
    given = baseline
    before = (
        given
        if given is not None
        else ask_unedited(
            model,
            tokenizer,
            facts,
            generate=generate,
            fluency=fluency,
            seed=seed,
            progress=progress,
        )
    )
    entries = [before.of(fact) for fact in facts]
    seconds = {} if given else {"before": before.seconds}
    texts = Texts(tokenizer, end_tokens(tokenizer, model))
    if given is None and edit is None:
        said: Said = [e.replies for e in entries], [e.text_ids for e in entries]
    else:
        start = time.perf_counter()
        applied: AbstractContextManager[Any] = (
            edit.applied(model) if edit is not None else nullcontext()
        )
        with untouched(model), applied, shortage_told("asking the model"):
            said = _ask(
                model, texts, entries, generate=generate, fluency=fluency, seed=seed,
                progress=progress,
            )  # fmt: skip
        seconds["after"] = time.perf_counter() - start
    settings = {
        "edit": "applied" if edit is not None else "none" if given is None else "in the model",
        "generate": generate,
        "fluency": fluency,
        "seed": seed,
        "own_tokens": OWN_TOKENS,
        "extra_tokens": EXTRA_TOKENS,
        "fluency_tokens": TOKENS,
        "fluency_top_k": TOP_K,
        **chat_setting(tokenizer),
    }
    evaluation = _evaluation(entries, said, texts, settings)
    return replace(evaluation, versions=before.versions, seconds=seconds)


def _ask(
    model: Any,
    texts: Texts,
    entries: Sequence[FactBefore],
    *,
    generate: bool,
    fluency: bool,
    seed: int,
    progress: Progress,
) -> Said:
    """Ask the model, as it now is, what the unedited one was asked, in the same batches."""
    answers = []
    for entry in entries:
        written: Sequence[tuple[int, ...] | None] = [None] * len(entry.asked)
        if generate:
            written = decode(
                model, [q.prompt for q in entry.asked], [q.tokens for q in entry.asked]
            )
        answers.append(tuple(replies(model, entry.asked, written, texts)))
        progress("answers after the edit", len(answers), len(entries))
    text_ids: list[tuple[int, ...] | None] = [None] * len(entries)
    if fluency:
        able = [(i, p, e.fact.id) for i, e in enumerate(entries) if (p := e.prompt) is not None]
        found = write_texts(
            model,
            [prompt for _, prompt, _ in able],
            [fact for _, _, fact in able],
            texts.ends,
            seed=seed,
            progress=progress,
            stage="texts after the edit",
        )
        for (i, _, _), ids in zip(able, found, strict=True):
            text_ids[i] = ids
    return answers, text_ids


def _evaluation(
    entries: Sequence[FactBefore],
    said: Said,
    texts: Texts,
    settings: dict[str, Any],
) -> Evaluation:
    rows, outputs, skipped = [], [], []
    for entry, after, after_ids in zip(entries, *said, strict=True):
        fact_id = entry.fact.id
        old = [Answered(q, b, b) for q, b in zip(entry.asked, entry.replies, strict=True)]
        new = [Answered(a.question, a.before, r) for a, r in zip(old, after, strict=True)]
        if not settings["generate"]:
            old = [a.without_text() for a in old]
            new = [a.without_text() for a in new]
        before_ids = entry.text_ids if settings["fluency"] else None
        text = [None if ids is None else texts.whole(ids) for ids in (before_ids, after_ids)]
        rows.append(
            FactScores(
                fact_id,
                fact_scores(new, text[1]),
                fact_scores(old, text[0]),
                subtype_scores(new),
                subtype_scores(old),
            )
        )
        outputs += [probe_output(fact_id, a, texts) for a in new]
        if entry.prompt is not None and before_ids is not None and after_ids is not None:
            outputs.append(
                fluency_output(entry.fact, len(entry.prompt), (before_ids, after_ids), texts)
            )
        skipped += [s for s in entry.skipped if settings["fluency"] or s.kind != "fluency"]
    return Evaluation(tuple(rows), tuple(outputs), tuple(skipped), settings)


def _check_edit(edit: Any) -> None:
    if edit is not None and not callable(getattr(edit, "applied", None)):
        raise SettingsError(
            f"edit is a {type(edit).__name__}; expected an object whose applied(model) applies it"
        )


def _check_baseline(
    baseline: Baseline, *, generate: bool, fluency: bool, seed: int, chat: str | None
) -> None:
    if baseline.chat != chat:
        asked = "with" if baseline.chat is not None else "without"
        raise SettingsError(
            f"the baseline was asked {asked} a chat template and the edited model is not, or with "
            "another one; pass the same tokenizer to both"
        )
    for name, wanted, there in (
        ("generate", generate, baseline.generate),
        ("fluency", fluency, baseline.fluency),
    ):
        if wanted and not there:
            raise SettingsError(
                f"the baseline was computed with {name}=False and has nothing to compare with; "
                f"compute it with {name}=True, or evaluate with {name}=False"
            )
    if fluency and baseline.seed != seed:
        raise SettingsError(
            f"seed {seed}: the baseline's texts were drawn with seed {baseline.seed}; "
            "take the same seed"
        )
