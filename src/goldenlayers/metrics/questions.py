"""Probes as token ids: what is fed, which rival answer is weighed, how much is generated."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from goldenlayers.facts.fact import Fact
from goldenlayers.metrics.known import EXTRA_TOKENS
from goldenlayers.metrics.probes import LOCALITY, REPHRASE, REWRITE, Probe, probes
from goldenlayers.models.text import Row, encode_pairs, encode_prompts

OWN_TOKENS = 5  # of the model's own continuation, for a locality probe without an answer
# Locality probes of these kinds are CounterFact's neighbourhood: other subjects, same relation.
NEIGHBOURHOOD = frozenset({"neighbourhood", "neighborhood", "same_relation"})


@dataclass(frozen=True, slots=True)
class Question:
    """A probe in token ids.

    Attributes:
        probe: The probe.
        prompt: Token ids of the bare prompt, for generation.
        row: Prompt and first accepted answer, for teacher forcing. None for a locality probe
            without an answer, until the unedited model has given its own continuation.
        rival: Prompt and the answer that CounterFact's scores weigh against the first one: the old
            answer on the rewrite prompt and the rephrasings, the new answer on neighbourhood
            prompts. None where there is none, or where the two are the same.
        rival_text: Text of that answer.
        tokens: Number of tokens to generate.
    """

    probe: Probe
    prompt: tuple[int, ...]
    row: Row | None
    rival: Row | None
    rival_text: str | None
    tokens: int


@dataclass(frozen=True, slots=True)
class SkippedProbe:
    """A probe that was left out.

    Attributes:
        fact: Identifier of the fact.
        kind: As in `Probe`, or "fluency".
        subtype: As in `Probe`.
        prompt: Text of the prompt.
        reason: One sentence.
    """

    fact: str
    kind: str
    subtype: str
    prompt: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        """Return the fields, ready for JSON."""
        return asdict(self)


def questions(
    tokenizer: Any, fact: Fact, limit: int | None
) -> tuple[list[Question], list[SkippedProbe]]:
    """Tokenise the probes of a fact.

    Args:
        tokenizer: A fast tokenizer of transformers.
        fact: The fact.
        limit: The model's context, tokens; None for no bound. A probe counts with whatever is
            longest: its answer fed, its rival fed, or its text generated.

    Returns:
        The questions in the order of `probes`, and the probes that were left out.

    Raises:
        ModelError: If the tokenizer has no offsets or leaves nothing of an answer or a prompt.
    """
    asked, skipped = [], []
    usable: list[Probe] = []
    for probe in probes(fact):
        answers = tuple(a for a in probe.answers if a.strip())
        if not probe.prompt.strip():
            skipped.append(_skipped(fact, probe, "the prompt is blank"))
        elif not answers and probe.kind != LOCALITY:
            skipped.append(_skipped(fact, probe, "the probe has no answer"))
        else:
            usable.append(Probe(probe.kind, probe.subtype, probe.prompt, answers))
    prompts = encode_prompts(tokenizer, [p.prompt for p in usable])
    rivals = [_rival(fact, p) for p in usable]
    # one call of the tokenizer for all pairs: it costs more a call than a text
    pairs = [(p.prompt, a) for p in usable for a in p.answers]
    pairs += [(p.prompt, r) for p, r in zip(usable, rivals, strict=True) if r is not None]
    encoded = encode_pairs(tokenizer, pairs)
    rows = iter(encoded)
    accepted = [[next(rows) for _ in p.answers] for p in usable]
    for probe, prompt, own, text in zip(usable, prompts, accepted, rivals, strict=True):
        against = next(rows) if text is not None else None
        row = own[0] if own else None
        if against is not None and against == row:
            against = text = None
        tokens = max((len(r.answer) for r in own), default=OWN_TOKENS - EXTRA_TOKENS)
        question = Question(probe, prompt, row, against, text, tokens + EXTRA_TOKENS)
        longest = _longest(question)
        if not prompt:
            skipped.append(_skipped(fact, probe, "the tokenizer leaves nothing of the prompt"))
        elif limit is not None and longest > limit:
            reason = f"{longest} tokens long, the model's context is {limit}"
            skipped.append(_skipped(fact, probe, reason))
        else:
            asked.append(question)
    return asked, skipped


def _rival(fact: Fact, probe: Probe) -> str | None:
    if probe.kind in (REWRITE, REPHRASE):
        old = fact.target_old
        return old if old is not None and old.strip() else None
    if probe.kind == LOCALITY and probe.subtype.casefold() in NEIGHBOURHOOD and probe.answers:
        return fact.target_new if fact.target_new.strip() else None
    return None


def _longest(question: Question) -> int:
    fed = [len(row.ids) for row in (question.row, question.rival) if row is not None]
    return max([*fed, len(question.prompt) + question.tokens])


def _skipped(fact: Fact, probe: Probe, reason: str) -> SkippedProbe:
    return SkippedProbe(fact.id, probe.kind, probe.subtype, probe.prompt, reason)
