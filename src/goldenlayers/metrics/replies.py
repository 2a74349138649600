"""What a model replies to the questions of a fact, and the two replies side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from goldenlayers.metrics.predict import predict
from goldenlayers.metrics.questions import Question


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model says to one question.

    Attributes:
        argmax: The most likely token at each position of the answer that is fed.
        log_probs: Log-probability of each token of that answer, nats.
        rival_log_probs: The same of the rival answer; None where there is none.
        generated_ids: Greedy continuation of the bare prompt; None where it was not asked for.
        generated: Its text, see `continuation_text`.
    """

    argmax: tuple[int, ...]
    log_probs: tuple[float, ...]
    rival_log_probs: tuple[float, ...] | None = None
    generated_ids: tuple[int, ...] | None = None
    generated: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """One question with the replies before and after the edit; what the scores are made of."""

    question: Question
    before: Reply
    after: Reply

    @property
    def answer(self) -> tuple[int, ...]:
        """Token ids of the answer that is fed."""
        assert self.question.row is not None  # whoever replied was fed something
        return self.question.row.answer

    def without_text(self) -> Answered:
        """Return the same without generated texts."""
        before, after = (
            replace(reply, generated_ids=None, generated=None)
            for reply in (self.before, self.after)
        )
        return Answered(self.question, before, after)


def of_kind(answered: Iterable[Answered], kind: str) -> list[Answered]:
    """Return those whose probe is of that kind."""
    return [a for a in answered if a.question.probe.kind == kind]


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that there are; None of none, so that nothing scores 0."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def of_subtypes(
    answered: Iterable[Answered], kind: str, score: Callable[[Answered], float | None]
) -> dict[str, float | None]:
    """Return the mean of a score over the probes of each subtype of a kind, in the record's order.

    Args:
        answered: The probes of one fact.
        kind: "locality" or "portability".
        score: Of one probe; None where there is nothing to say.
    """
    found = of_kind(answered, kind)
    subtypes = dict.fromkeys(a.question.probe.subtype for a in found)
    return {
        subtype: mean(score(a) for a in found if a.question.probe.subtype == subtype)
        for subtype in subtypes
    }


def by_subtype(
    answered: Iterable[Answered], kind: str, score: Callable[[Answered], float | None]
) -> float | None:
    """Return the unweighted mean over the subtypes of a kind of `of_subtypes`; None of none.

    As KnowEdit's script does it for a record: a subtype of many probes counts like one of few.
    """
    return mean(of_subtypes(answered, kind, score).values())


def share_equal(found: Sequence[int], wanted: Sequence[int]) -> float:
    """Return the share of positions at which two sequences of token ids agree."""
    return sum(f == w for f, w in zip(found, wanted, strict=True)) / len(wanted)


def nll(log_probs: Sequence[float]) -> float:
    """Return the mean negative log-likelihood, nats per token."""
    return -sum(log_probs) / len(log_probs)


def replies(
    model: Any, asked: Sequence[Question], written: Sequence[tuple[int, ...] | None], texts: Texts
) -> list[Reply]:
    """Feed the answers of all questions; all rows of a fact go through the model together.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        asked: The questions; each has its row.
        written: Greedy continuation of each prompt, or None.
        texts: Makes texts of token ids.

    Returns:
        One reply per question.
    """
    rows = [q.row for q in asked if q.row is not None]
    rivals = [q.rival for q in asked if q.rival is not None]
    found = predict(model, [*rows, *rivals])
    against = iter(found[len(rows) :])
    out = []
    for question, own, ids in zip(asked, found[: len(rows)], written, strict=True):
        rival = next(against).log_probs if question.rival is not None else None
        text = None if ids is None else texts.continuation(ids)
        out.append(Reply(own.argmax, own.log_probs, rival, ids, text))
    return out


class Texts:
    """Makes texts of token ids.

    Args:
        tokenizer: A tokenizer of transformers.
        ends: Token ids that end a text.

    Attributes:
        ends: As given.
    """

    def __init__(self, tokenizer: Any, ends: frozenset[int]):
        self._tokenizer = tokenizer
        self.ends = ends
        self._tokens: dict[int, str] = {}

    def continuation(self, ids: Sequence[int]) -> str:
        """Return the first line of a continuation: up to end-of-text, blank lines before it cut."""
        kept = self.until_end(ids)
        text = str(self._tokenizer.decode(list(kept), skip_special_tokens=True)).strip()
        return text.splitlines()[0].rstrip() if text else ""

    def until_end(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return the ids before the first one that ends a text."""
        n = next((i for i, token in enumerate(ids) if token in self.ends), len(ids))
        return tuple(ids[:n])

    def whole(self, ids: Sequence[int]) -> str:
        """Return the text of all ids but special ones."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def token(self, token: int) -> str:
        """Return one token as text."""
        if token not in self._tokens:
            self._tokens[token] = str(self._tokenizer.decode([token]))
        return self._tokens[token]
