"""What a model says about a fact, shown before and after an edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch

from goldenlayers.facts.fact import Fact
from goldenlayers.metrics.decode import end_tokens
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import context_length
from goldenlayers.models.text import encode_prompts
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.greedy import greedy_continuations
from goldenlayers.progress import Progress, silent

TOP = 5
TOKENS = 12


@dataclass(frozen=True)
class Look:
    """What a model says about one fact.

    Attributes:
        top: The most likely next tokens after the prompt, as text, with their probabilities.
        continuations: Greedy continuation of the prompt, then of each rephrasing, up to
            end-of-text.
    """

    top: tuple[tuple[str, float], ...]
    continuations: tuple[str, ...]


@dataclass(frozen=True)
class BeforeAfter:
    """One fact, looked at twice."""

    fact: Fact
    before: Look
    after: Look

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        prompts = (self.fact.prompt, *self.fact.rephrase_prompts)
        return {
            "id": self.fact.id,
            "prompt": self.fact.prompt,
            "target_new": self.fact.target_new,
            "next_tokens": {
                "before": [{"token": t, "probability": p} for t, p in self.before.top],
                "after": [{"token": t, "probability": p} for t, p in self.after.top],
            },
            "continuations": [
                {"prompt": prompt, "before": before, "after": after}
                for prompt, before, after in zip(
                    prompts, self.before.continuations, self.after.continuations, strict=True
                )
            ],
        }


def look(
    model: Any,
    tokenizer: Any,
    facts: Sequence[Fact],
    *,
    top: int = TOP,
    tokens: int = TOKENS,
    progress: Progress = silent,
    stage: str = "continuations",
) -> list[Look]:
    """Ask a model about facts.

    Args:
        model: A causal language model of transformers; returned as it came.
        tokenizer: Its fast tokenizer.
        facts: The facts.
        top: How many next tokens.
        tokens: Length of the continuations.
        progress: Called with `stage` and the facts done.
        stage: What to call the work.

    Returns:
        One look per fact; a prompt that leaves no room in the model's context is continued by "",
        and one that does not fit at all has no next tokens either.
    """
    limit = context_length(model)
    looks: list[Look] = []
    with untouched(model):
        for fact in facts:
            looks.append(_look(model, tokenizer, fact, top, tokens, limit))
            progress(stage, len(looks), len(facts))
    return looks


@torch.no_grad()
def _look(model: Any, tokenizer: Any, fact: Fact, top: int, tokens: int, limit: int | None) -> Look:
    prompts = encode_prompts(tokenizer, [fact.prompt, *fact.rephrase_prompts])
    fits = [i for i, p in enumerate(prompts) if limit is None or len(p) + tokens <= limit]
    written = greedy_continuations(model, [prompts[i] for i in fits], [tokens] * len(fits))
    ends = end_tokens(tokenizer, model)
    texts = {
        i: " ".join(tokenizer.decode(list(takewhile(lambda t: t not in ends, ids))).split())
        for i, ids in zip(fits, written, strict=True)
    }
    return Look(
        _next_tokens(model, tokenizer, prompts[0], top, limit),
        tuple(texts.get(i, "") for i in range(len(prompts))),
    )


def _next_tokens(
    model: Any, tokenizer: Any, prompt: Sequence[int], top: int, limit: int | None
) -> tuple[tuple[str, float], ...]:
    if limit is not None and len(prompt) > limit:
        return ()
    ids = torch.tensor([prompt], device=model.device)  # (1, T)
    last = torch.tensor([len(prompt) - 1], device=model.device)
    with answer_logits(model, torch.zeros_like(last), last) as gathered:
        logits = gathered.pick(model(input_ids=ids, use_cache=False).logits)[0]  # (V,)
    best = logits.float().softmax(-1).topk(min(top, len(logits)))
    return tuple(
        (tokenizer.decode([token]), p)
        for token, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    )
