"""Which old and new answer a fact is scored with, as rows of token ids.

The old answer is the record's own or the model's greedy continuation of the prompt, as many tokens
as the new answer has, never begun by an end, special or whitespace token and ended by one later
(questions would otherwise be answered with end-of-text). The model's answer is kept as token ids
and never tokenised again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from goldenlayers.facts.fact import Fact
from goldenlayers.locators.old_answers import OldAnswers
from goldenlayers.locators.ranking import Skipped
from goldenlayers.models.sites import context_length
from goldenlayers.models.text import Row, encode_pairs, encode_prompts, require_vocabulary
from goldenlayers.passes.greedy import TokenFilter, greedy_continuations
from goldenlayers.progress import Progress, Say, quiet, silent

OLD_ANSWERS = ("record", "model")


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """A fact with its two rows.

    Attributes:
        fact: The fact.
        old: Prompt and old answer.
        new: Prompt and new answer.
        old_source: "record" or "model".
        old_text: The old answer as text.
    """

    fact: Fact
    old: Row
    new: Row
    old_source: str
    old_text: str


@dataclass
class Answers:
    """Pairs that can be scored, and facts that cannot."""

    pairs: list[ScoredPair] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def old_and_new(
    model: Any,
    tokenizer: Any,
    facts: Sequence[Fact],
    *,
    old_answer: str = "record",
    equal: bool = False,
    cache: bool = False,
    say: Say = quiet,
    progress: Progress = silent,
) -> Answers:
    """Build the old and the new row of every fact.

    Args:
        model: A causal language model in evaluation mode.
        tokenizer: Its fast tokenizer.
        facts: The facts.
        old_answer: "record": the record's own answer, and the model's where the record has none;
            "model": always the model's.
        equal: Keep facts whose two answers are equal, for a method that needs only the old one.
        cache: Keep the model's answers on disk, and take those that are there.
        say: Called with a line if they cannot be kept.
        progress: Called with the facts whose answer the model has written.

    Returns:
        Pairs in the order of the facts, and the facts left out: whose two answers are equal
        (unless `equal`), or that are longer than the model's context.
    """
    out = Answers()
    new_rows = encode_pairs(tokenizer, [(f.prompt, f.target_new) for f in facts])
    limit = context_length(model)
    asked = [i for i, f in enumerate(facts) if old_answer == "model" or f.target_old is None]
    prompts = encode_prompts(tokenizer, [facts[i].prompt for i in asked])
    lengths = [len(new_rows[i].answer) for i in asked]
    require_vocabulary(model, [*(r.ids for r in new_rows), *prompts])
    fits = [k for k, p in enumerate(prompts) if limit is None or len(p) + lengths[k] <= limit]
    written: dict[int, tuple[int, ...]] = {}
    if fits:
        kept = OldAnswers(model, tokenizer, say=say) if cache else None
        known = {} if kept is None else kept.find(prompts, lengths)
        left = [k for k in fits if k not in known]
        continuations = greedy_continuations(
            model,
            [prompts[k] for k in left],
            [lengths[k] for k in left],
            keep=TokenFilter(tokenizer, model),
            progress=lambda done: progress("old answers", len(fits) - len(left) + done, len(fits)),
        )
        fresh = dict(zip(left, continuations, strict=True))
        if kept is not None:
            kept.keep(prompts, lengths, fresh)
        written = {asked[k]: ids for k, ids in (known | fresh).items()}
    prompt_of = dict(zip(asked, prompts, strict=True))
    given = [i for i in range(len(facts)) if i not in prompt_of]
    rows = encode_pairs(tokenizer, [(facts[i].prompt, facts[i].target_old or "") for i in given])
    require_vocabulary(model, [r.ids for r in rows])
    row_of = dict(zip(given, rows, strict=True))

    for i, (fact, new) in enumerate(zip(facts, new_rows, strict=True)):
        if i in row_of:
            old, source, text = row_of[i], "record", (fact.target_old or "").strip()
            same = text == fact.target_new.strip()
        elif i in written:
            old = Row(prompt_of[i] + written[i], len(prompt_of[i]))
            source, text = "model", tokenizer.decode(list(written[i])).strip()
            same = old.answer == new.answer
        else:
            out.skipped.append(_too_long(fact, len(prompt_of[i]) + len(new.answer), limit))
            continue
        longest = max(len(old.ids), len(new.ids))
        if same and not equal:
            whose = "the model's own answer" if source == "model" else "the old answer"
            out.skipped.append(Skipped(fact.id, f"{whose} is the new answer, {text!r}"))
        elif limit is not None and longest > limit:
            out.skipped.append(_too_long(fact, longest, limit))
        else:
            out.pairs.append(ScoredPair(fact, old, new, source, text))
    return out


def _too_long(fact: Fact, tokens: int, limit: int | None) -> Skipped:
    return Skipped(fact.id, f"{tokens} tokens long, the model's context is {limit}")
