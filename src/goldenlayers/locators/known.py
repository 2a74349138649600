"""The facts that a model knows, ready to be traced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from goldenlayers.errors import FactError, LocatorError
from goldenlayers.locators.answers import ScoredPair, old_and_new
from goldenlayers.locators.base import Request
from goldenlayers.locators.ranking import Skipped
from goldenlayers.metrics.predict import predict
from goldenlayers.models.subject import subject_end, subject_rows
from goldenlayers.models.text import encode_texts, written
from goldenlayers.passes.restoring import TracedRow

UNKNOWN = "the model does not know"


@dataclass(frozen=True, slots=True)
class KnownFact:
    """A fact that the model knows, ready to be traced.

    Attributes:
        pair: The fact with the old answer that is traced.
        row: Its prompt.
    """

    pair: ScoredPair
    row: TracedRow


def known_facts(request: Request, traced: str = "known") -> tuple[list[KnownFact], list[Skipped]]:
    """Return the facts that can be traced, and those that cannot.

    The answer traced is the record's old one, or the model's own where there is none. The model
    knows it if, fed with the answer, each of its tokens is the most likely one. With "own" it is
    always the model's, which need not be the most likely text: an end of text is never an answer.

    Args:
        request: What the locator was given.
        traced: See `goldenlayers.locators.traced.TraceSettings`.

    Raises:
        LocatorError: If no fact is left.
    """
    answers = old_and_new(
        request.model,
        request.tokenizer,
        request.facts,
        old_answer="model" if traced == "own" else "record",
        equal=True,  # known facts name no new answer, and none is needed
        cache=request.cache,
        say=request.say,
        progress=request.progress,
    )
    why = {s.id: s.reason for s in answers.skipped}
    rows: list[KnownFact] = []
    for pair in answers.pairs:
        try:
            rows.append(KnownFact(pair, traced_row(request.tokenizer, pair)))
        except FactError as error:
            why[pair.fact.id] = str(error)
    unknown = 0
    known = []
    for found, prediction in zip(
        rows, predict(request.model, [k.pair.old for k in rows]) if rows else [], strict=True
    ):
        if traced == "own" or prediction.argmax == found.pair.old.answer:
            known.append(found)
        else:
            says = request.tokenizer.decode(list(prediction.argmax)).strip()
            why[found.pair.fact.id] = f"{UNKNOWN} {found.pair.old_text!r}: it predicts {says!r}"
            unknown += 1
    skipped = [Skipped(f.id, why[f.id]) for f in request.facts if f.id in why]
    if not known:
        others = [s for s in skipped if not s.reason.startswith(UNKNOWN)]
        raise LocatorError(
            f"none of the {len(request.facts)} facts can be traced: {UNKNOWN} {unknown} of them"
            + (f", {len(others)} are left out otherwise ({others[0].reason})" if others else "")
            + "; tracing needs facts that the model answers as their old answer says"
        )
    return known, skipped


def traced_row(tokenizer: Any, pair: ScoredPair) -> TracedRow:
    """Return the prompt of a pair with the place of its subject and the answer's first token."""
    fact, old = pair.fact, pair.old
    answer = fact.target_old if pair.old_source == "record" else None
    (row,) = subject_rows(tokenizer, [""], fact.prompt, fact.subject, answer)
    whole = written(tokenizer, fact.prompt, answer)
    (_, (spans,)) = encode_texts(tokenizer, [whole.text])
    end = whole.start + subject_end(whole.prompt, fact.subject)
    start = end - len(fact.subject.strip())
    first = next(i for i, (a, b) in enumerate(spans) if b > start and a < end)
    return TracedRow(old.ids[: old.n_prompt], first, row.subject, old.answer[0])
