"""How long prompts and answers are for a model, in tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from goldenlayers.facts.fact_set import BadRecord
from goldenlayers.facts.read import Item
from goldenlayers.models.text import encode_pairs

BLOCK = 256  # facts tokenised together


class Lengths:
    """Counts tokens of facts, and sets aside those that a model's context does not hold.

    Args:
        tokenizer: A fast tokenizer of transformers.
        limit: Tokens in the model's context; None for no bound.

    Attributes:
        counts: By "prompt", "new answer" and "old answer": how many facts have how many tokens.
    """

    def __init__(self, tokenizer: Any, limit: int | None):
        self._tokenizer = tokenizer
        self._limit = limit
        self.counts: dict[str, Counter[int]] = {
            "prompt": Counter(),
            "new answer": Counter(),
            "old answer": Counter(),
        }

    def measured(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items; a fact too long for the context is one that was set aside.

        Raises:
            ModelError: If the tokenizer has no offsets or leaves nothing of an answer or a prompt.
        """
        rest = iter(items)
        while block := list(islice(rest, BLOCK)):
            facts = [i.fact for i in block if i.fact is not None]
            new = iter(encode_pairs(self._tokenizer, [(f.prompt, f.target_new) for f in facts]))
            old = iter(
                encode_pairs(
                    self._tokenizer,
                    [(f.prompt, f.target_old) for f in facts if f.target_old is not None],
                )
            )
            for item in block:
                if item.fact is None:
                    yield item
                    continue
                rows = [next(new)]
                if item.fact.target_old is not None:
                    rows.append(next(old))
                longest = max(len(row.ids) for row in rows)
                if self._limit is not None and longest > self._limit:
                    reason = (
                        f"fact {item.fact.id}: {longest} tokens long, the model's context is "
                        f"{self._limit}"
                    )
                    yield Item(bad=BadRecord(item.line, reason, item.record))
                    continue
                self.counts["prompt"][rows[0].n_prompt] += 1
                for name, row in zip(("new answer", "old answer"), rows, strict=False):
                    self.counts[name][len(row.answer)] += 1
                yield item

    def to_dict(self) -> dict[str, dict[str, float] | None]:
        """Return by text: facts, least, median, 95th percentile, most and mean tokens."""
        return {name: _spread(counts) for name, counts in self.counts.items()}


def _spread(counts: Counter[int]) -> dict[str, float] | None:
    total = sum(counts.values())
    if not total:
        return None
    return {
        "facts": total,
        "least": min(counts),
        "median": _quantile(counts, 0.5),
        "p95": _quantile(counts, 0.95),
        "most": max(counts),
        "mean": sum(n * count for n, count in counts.items()) / total,
    }


def _quantile(counts: Counter[int], share: float) -> int:
    """Return the least length that at least this share of the facts does not exceed."""
    wanted, so_far = share * sum(counts.values()), 0
    for length in sorted(counts):
        so_far += counts[length]
        if so_far >= wanted:
            return length
    return max(counts)
