"""The texts whose entropy is the fluency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goldenlayers.metrics.decode import TopK, decode
from goldenlayers.metrics.fluency import TOKENS, TOP_K, text_seed
from goldenlayers.progress import Progress


def write_texts(
    model: Any,
    prompts: Sequence[tuple[int, ...]],
    fact_ids: Sequence[str],
    ends: frozenset[int],
    *,
    seed: int,
    progress: Progress,
    stage: str,
) -> list[tuple[int, ...]]:
    """Let a model write on from the prompts, `TOKENS` tokens in all for each.

    Special tokens are never drawn, so that every text has the same length.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        prompts: Token ids, fewer than `TOKENS` each.
        fact_ids: Identifier of each prompt's fact; what is drawn depends on it and on the seed.
        ends: Special tokens.
        seed: Seed, 0 or more.
        progress: Called with `stage` and the texts done.
        stage: What to call the work.

    Returns:
        Prompt and continuation of each, token ids.
    """
    draw = TopK([text_seed(seed, fact) for fact in fact_ids], TOP_K, ends)
    lengths = [TOKENS - len(p) for p in prompts]
    written = decode(
        model,
        prompts,
        lengths,
        draw,
        progress=lambda done: progress(stage, done, len(prompts)),
    )
    return [(*p, *w) for p, w in zip(prompts, written, strict=True)]
