"""Which facts a model knows: its greedy continuation of the prompt begins with the old answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from goldenlayers.errors import FactError
from goldenlayers.facts.fact import Fact
from goldenlayers.facts.fact_set import FactSet
from goldenlayers.facts.subsets import check_sample, sample_order
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import context_length
from goldenlayers.models.text import encode_pairs, encode_prompts, require_vocabulary
from goldenlayers.passes.greedy import greedy_continuations
from goldenlayers.progress import Progress, silent

# all but: a point between digits, a minus before a number, plus and hash signs after a letter
PUNCTUATION = re.compile(r"(?!(?<=\d)\.\d|(?<!\w)-\d|(?<=[^\W\d])[+#]|(?<=\+)\+)[^\w\s]")
BLOCK = 64  # facts asked before it is seen whether there are enough
EXTRA_TOKENS = 3  # room for an article or another spelling before the answer is complete


@dataclass(frozen=True, slots=True)
class Known:
    """What a model answers to one fact.

    Attributes:
        id: The fact's identifier.
        known: Whether the answer begins with the old answer, as whole words.
        answer: The model's greedy continuation.
        expected: The old answer.
    """

    id: str
    known: bool
    answer: str
    expected: str


def known_facts(
    model: Any, tokenizer: Any, facts: Sequence[Fact], *, progress: Progress = silent
) -> list[Known]:
    """Ask a model for the old answer of each fact that has one.

    Args:
        model: A causal language model of transformers; returned as it came.
        tokenizer: Its fast tokenizer.
        facts: The facts; those without an old answer are passed over.
        progress: Called with the facts done.

    Returns:
        One entry per fact with an old answer, in order.
    """
    asked = [(f, f.target_old) for f in facts if f.target_old is not None]
    rows = encode_pairs(tokenizer, [(f.prompt, old) for f, old in asked])
    prompts = encode_prompts(tokenizer, [f.prompt for f, _ in asked])
    require_vocabulary(model, prompts)
    lengths = [len(row.answer) + EXTRA_TOKENS for row in rows]
    limit = context_length(model)
    fits = [k for k, p in enumerate(prompts) if limit is None or len(p) + lengths[k] <= limit]
    with untouched(model):
        continuations = greedy_continuations(
            model,
            [prompts[k] for k in fits],
            [lengths[k] for k in fits],
            progress=lambda done: progress("greedy answers", done, len(fits)),
        )
    answers = {
        k: tokenizer.decode(list(ids), skip_special_tokens=True).strip()
        for k, ids in zip(fits, continuations, strict=True)
    }
    too_long = f"(the prompt does not fit the model's context of {limit} tokens)"
    return [
        Known(fact.id, begins_with(answers.get(k, ""), old), answers.get(k, too_long), old)
        for k, (fact, old) in enumerate(asked)
    ]


def only_known(
    model: Any,
    tokenizer: Any,
    facts: FactSet,
    name: str,
    *,
    sample: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> FactSet:
    """Keep the facts whose old answer the model gives, and if wanted a sample of those.

    Args:
        model: A causal language model of transformers; returned as it came.
        tokenizer: Its fast tokenizer.
        facts: The facts; those without an old answer are left out.
        name: What the model is called in the selection.
        sample: Draw so many of the known ones, as `FactSet.sample` does; facts are asked in the
            order of the draw, and no more of them than needed.
        seed: Of the draw.
        progress: Called with "known facts" and the facts asked.

    Raises:
        SettingsError: If the sample or the seed is out of range.
        FactError: If none, or too few, are known.
    """
    order = list(range(len(facts)))
    if sample is not None:
        check_sample(sample, seed)
        order = sample_order(facts, seed)
    order = [i for i in order if facts[i].target_old is not None]
    kept: list[int] = []
    asked = 0
    while asked < len(order) and (sample is None or len(kept) < sample):
        block = order[asked : asked + BLOCK]
        answers = known_facts(model, tokenizer, [facts[i] for i in block])
        kept += [i for i, answer in zip(block, answers, strict=True) if answer.known]
        asked += len(block)
        progress("known facts", asked, len(order))
    if not kept or len(kept) < (sample or 0):
        raise FactError(
            f"{facts.source}: {len(kept)} of {len(order)} facts with an old answer are known by "
            f"{name}; expected {'any' if sample is None else f'{sample} or more'}"
        )
    how = [f"known by {name}"]
    if sample is not None:
        kept = kept[:sample]
        how.append(f"sample of {sample}, seed {seed}")
    return replace(
        facts,
        facts=tuple(facts[i] for i in sorted(kept)),
        selection=(*facts.selection, *how),
    )


def begins_with(text: str, answer: str) -> bool:
    """Return whether `text` begins with `answer` as whole words, both normalised."""
    words, wanted = normalise(text).split(), normalise(answer).split()
    return bool(wanted) and words[: len(wanted)] == wanted


def normalise(text: str) -> str:
    """Fold case and width, drop punctuation and a leading article, collapse whitespace.

    What tells answers apart stays: a decimal point, a sign before a number, C++ and C#.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text.replace("'", "").replace("’", ""))
    text = PUNCTUATION.sub(" ", text)
    return re.sub(r"^(?:the|an|a)\s+", "", " ".join(text.split()))
