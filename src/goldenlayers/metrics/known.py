"""Which facts a model knows: its greedy continuation of the prompt begins with the old answer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goldenlayers.facts.fact import Fact
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import context_length
from goldenlayers.models.text import encode_pairs, encode_prompts, require_vocabulary
from goldenlayers.passes.greedy import greedy_continuations
from goldenlayers.progress import Progress, silent

# all but: a point between digits, a minus before a number, plus and hash signs after a letter
PUNCTUATION = re.compile(r"(?!(?<=\d)\.\d|(?<!\w)-\d|(?<=[^\W\d])[+#]|(?<=\+)\+)[^\w\s]")
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
