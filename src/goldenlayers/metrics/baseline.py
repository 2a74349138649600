"""What the unedited model says to the probes of a list of facts, asked once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from goldenlayers.errors import FactError, SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.metrics.decode import decode, end_tokens
from goldenlayers.metrics.fluency import TOKENS
from goldenlayers.metrics.questions import Question, SkippedProbe, questions
from goldenlayers.metrics.replies import Reply, Texts, replies
from goldenlayers.metrics.samples import write_texts
from goldenlayers.models.chat import chat_setting
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import context_length
from goldenlayers.models.text import Row, encode_prompts
from goldenlayers.progress import Progress, silent
from goldenlayers.versions import versions


@dataclass(frozen=True)
class FactBefore:
    """What the unedited model says about one fact.

    Attributes:
        fact: The fact.
        asked: Its probes in token ids; each has its row.
        replies: One reply per question.
        skipped: Probes that were left out.
        prompt: Token ids of the prompt, the start of the text for fluency; None where no such text
            can be written.
        text_ids: Token ids of that text, prompt included; None where it was not asked for.
    """

    fact: Fact
    asked: tuple[Question, ...]
    replies: tuple[Reply, ...]
    skipped: tuple[SkippedProbe, ...]
    prompt: tuple[int, ...] | None
    text_ids: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Baseline:
    """What the unedited model says, by fact.

    Attributes:
        facts: By identifier of the fact.
        generate: Whether the greedy continuations are there.
        fluency: Whether the texts for fluency are there.
        seed: What those texts were drawn with.
        chat: What the prompts were rendered with, see `goldenlayers.models.chat`; None if they
            were asked as they stand.
        versions: Package versions.
        seconds: Wall time that it took.
    """

    facts: Mapping[str, FactBefore]
    generate: bool
    fluency: bool
    seed: int
    chat: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)

    def only(self, ids: Iterable[str]) -> Baseline:
        """Return the baseline of some of the facts; nothing is computed.

        Raises:
            SettingsError: If a fact is not in it.
        """
        return replace(self, facts={i: self._entry(i) for i in ids})

    def of(self, fact: Fact) -> FactBefore:
        """Return what is known of a fact.

        Raises:
            SettingsError: If the fact is not in it, or was another one under the same identifier.
        """
        entry = self._entry(fact.id)
        if entry.fact is not fact and entry.fact != fact:
            raise SettingsError(
                f"the baseline knows another fact under the id {fact.id!r} "
                f"({entry.fact.prompt!r}, not {fact.prompt!r}); compute it for these facts"
            )
        return entry

    def _entry(self, fact_id: str) -> FactBefore:
        try:
            return self.facts[fact_id]
        except KeyError:
            raise SettingsError(
                f"the baseline has no fact {fact_id!r}, only {len(self.facts)} others; "
                "compute it for all facts that are to be scored"
            ) from None


def baseline(
    model: Any,
    tokenizer: Any,
    facts: Sequence[Fact],
    *,
    generate: bool = True,
    fluency: bool = True,
    seed: int = 0,
    progress: Progress = silent,
) -> Baseline:
    """Ask the unedited model all probes of the facts.

    The probes of one fact make up the batches, so that what is said about a fact does not depend
    on the facts beside it, not even by rounding: `Baseline.only` gives what asking about those
    facts alone would have given. Texts for fluency are batched across facts, and alike but for
    rounding.

    Args:
        model: A causal language model of transformers; returned as it came.
        tokenizer: Its fast tokenizer.
        facts: The facts, at least one, ids unique.
        generate: Write the greedy continuations that the generated scores compare.
        fluency: Write the texts that fluency is measured on; the slowest part.
        seed: What those texts are drawn with, 0 or more.
        progress: Called with the facts done, by stage.

    Raises:
        FactError: If there are no facts, or two have one identifier.
        ModelError: If tokenizer and model do not go together.
        SettingsError: If the seed is not a number of 0 or more.
    """
    facts = checked(facts, seed)
    start = time.perf_counter()
    limit = context_length(model)
    ends = end_tokens(tokenizer, model)
    prompts = encode_prompts(tokenizer, [f.prompt for f in facts])
    entries: list[FactBefore] = []
    with untouched(model):
        for fact, prompt in zip(facts, prompts, strict=True):
            entry = _before(model, tokenizer, fact, limit, ends, generate=generate)
            entries.append(_with_text_prompt(entry, prompt, limit) if fluency else entry)
            progress("answers before the edit", len(entries), len(facts))
        able = [i for i, entry in enumerate(entries) if entry.prompt is not None]
        texts = write_texts(
            model,
            [p for e in entries if (p := e.prompt) is not None],
            [facts[i].id for i in able],
            ends,
            seed=seed,
            progress=progress,
            stage="texts before the edit",
        )
    for i, ids in zip(able, texts, strict=True):
        entries[i] = replace(entries[i], text_ids=ids)
    return Baseline(
        {e.fact.id: e for e in entries},
        generate,
        fluency,
        seed,
        chat_setting(tokenizer).get("chat"),
        versions(),
        time.perf_counter() - start,
    )


def checked(facts: Sequence[Fact], seed: int) -> list[Fact]:
    """Return the facts as a list; see `baseline` for what is refused."""
    if isinstance(facts, Fact):
        raise SettingsError("found one Fact where several are expected; put it in a list")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise SettingsError(f"seed {seed!r}: expected a whole number, 0 or more")
    out = list(facts)
    if not out:
        raise FactError("no facts to score")
    fact_id, count = Counter(f.id for f in out).most_common(1)[0]
    if count > 1:
        raise FactError(f"two facts have the id {fact_id!r}; ids must be unique")
    return out


def _before(
    model: Any,
    tokenizer: Any,
    fact: Fact,
    limit: int | None,
    ends: frozenset[int],
    *,
    generate: bool,
) -> FactBefore:
    asked, skipped = questions(tokenizer, fact, limit)
    texts = Texts(tokenizer, ends)
    # a locality probe without an answer is fed what the model says itself, so that comes first
    wanted = [i for i, q in enumerate(asked) if generate or q.row is None]
    tokens = decode(model, [asked[i].prompt for i in wanted], [asked[i].tokens for i in wanted])
    written = dict(zip(wanted, tokens, strict=True))
    asked = [
        q if q.row is not None else replace(q, row=_own_row(q.prompt, written[i], texts))
        for i, q in enumerate(asked)
    ]
    kept = [written[i] if generate else None for i in range(len(asked))]
    found = replies(model, asked, kept, texts)
    return FactBefore(fact, tuple(asked), tuple(found), tuple(skipped), None)


def _own_row(prompt: tuple[int, ...], written: tuple[int, ...], texts: Texts) -> Row:
    """Return prompt and own continuation, up to end-of-text, which counts as one of its tokens."""
    return Row((*prompt, *written[: len(texts.until_end(written)) + 1]), len(prompt))


def _with_text_prompt(entry: FactBefore, prompt: tuple[int, ...], limit: int | None) -> FactBefore:
    reason = None
    if not 0 < len(prompt) < TOKENS:
        reason = f"the prompt has {len(prompt)} tokens, the text for fluency {TOKENS} in all"
    elif limit is not None and limit < TOKENS:
        reason = f"the text for fluency has {TOKENS} tokens, the model's context is {limit}"
    if reason is None:
        return replace(entry, prompt=prompt)
    skip = SkippedProbe(entry.fact.id, "fluency", "", entry.fact.prompt, reason)
    return replace(entry, skipped=(*entry.skipped, skip))
