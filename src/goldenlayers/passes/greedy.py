"""Greedy continuations of many prompts, in batches of equal length with a key-value cache."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.next_input import next_input
from goldenlayers.passes.room import Room, in_order, in_pieces
from goldenlayers.passes.transfers import on_device

MAX_BATCH_TOKENS = 2048
FIRST_LOOK = 16  # most likely tokens among which a first one is sought at once


class TokenFilter:
    """Tells which tokens cannot stand in an answer: special ones and those of whitespace alone.

    Args:
        tokenizer: A tokenizer of transformers.
        model: The model, whose configuration may name further end tokens.
    """

    def __init__(self, tokenizer: Any, model: Any):
        self._tokenizer = tokenizer
        self._special = set(tokenizer.all_special_ids)
        for config in (getattr(model, "generation_config", None), getattr(model, "config", None)):
            end = getattr(config, "eos_token_id", None)
            self._special |= set(end if isinstance(end, list) else [] if end is None else [end])
        self._blank: dict[int, bool] = {}

    def ends(self, token: int) -> bool:
        """Return whether `token` is special or decodes to whitespace alone."""
        if token in self._special:
            return True
        if token not in self._blank:
            self._blank[token] = not self._tokenizer.decode([token]).strip()
        return self._blank[token]

    def first(self, logits: Tensor) -> int:
        """Return the most likely token of (V,) logits that may begin an answer."""
        k = FIRST_LOOK
        while True:
            for token in logits.topk(min(k, logits.numel())).indices.tolist():
                if not self.ends(token):
                    return int(token)
            if k >= logits.numel():
                return int(logits.argmax())  # a vocabulary of nothing but blanks
            k *= 16

    def firsts(self, logits: Tensor) -> list[int]:
        """Return that of each row of (B, V) logits; one look at the device is enough for most."""
        best = logits.topk(min(FIRST_LOOK, logits.shape[1])).indices.tolist()
        fine = [next((token for token in row if not self.ends(token)), None) for row in best]
        return [self.first(logits[r]) if t is None else t for r, t in enumerate(fine)]


@torch.no_grad()
def greedy_continuations(
    model: Any,
    prompts: Sequence[tuple[int, ...]],
    lengths: Sequence[int],
    *,
    keep: TokenFilter | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[tuple[int, ...]]:
    """Continue each prompt greedily.

    Prompts of equal length share a batch, so no padding is needed and every architecture's cache
    works as its authors meant it.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        prompts: Token ids of each prompt.
        lengths: Number of tokens wanted after each prompt, at least 1.
        keep: If given, tokens that it names may not come first, and end a continuation later.
        progress: Called with the number of prompts done.

    Returns:
        Token ids of each continuation, at most as many as asked for, at least one.

    Raises:
        MemoryShortError: If memory does not suffice for one prompt alone.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for i, prompt in enumerate(prompts):
        by_length[len(prompt)].append(i)
    out: list[tuple[int, ...]] = [()] * len(prompts)
    room = Room(MAX_BATCH_TOKENS)
    done = 0
    for n, members in sorted(by_length.items()):
        members.sort(key=lambda i: lengths[i])  # rows that stop together stay together

        def run(chosen: list[int], members: list[int] = members) -> list[list[int]]:
            chunk = [members[k] for k in chosen]
            steps = max(lengths[i] for i in chunk)
            return _continue(model, [prompts[i] for i in chunk], steps, keep)

        costs = [n] * len(members)
        for chosen, tokens in in_pieces(costs, room, run, item="prompt", parted=in_order):
            for k, row in zip(chosen, tokens, strict=True):
                i = members[k]
                out[i] = tuple(_cut(row[: lengths[i]], keep))
            done += len(chosen)
            progress(done)
    return out


def _continue(
    model: Any, prompts: list[tuple[int, ...]], steps: int, keep: TokenFilter | None
) -> list[list[int]]:
    device = model.device
    ids = on_device(prompts, device)  # (B, T)
    rows = torch.arange(len(prompts), device=device)
    cache = None
    out: list[list[int]] = [[] for _ in prompts]
    for step in range(steps):
        last = torch.full_like(rows, ids.shape[1] - 1)
        with answer_logits(model, rows, last) as gathered:
            output = model(input_ids=ids, past_key_values=cache, use_cache=True)
        logits = gathered.pick(output.logits)  # (B, V)
        if step == 0 and keep is not None:
            tokens = keep.firsts(logits)
        else:
            tokens = logits.argmax(-1).tolist()
        for row, token in zip(out, tokens, strict=True):
            row.append(token)
        ids, cache = next_input(output, ids, tokens)
    return out


def _cut(tokens: list[int], keep: TokenFilter | None) -> list[int]:
    if keep is not None:
        for i, token in enumerate(tokens[1:], start=1):
            if keep.ends(token):
                return tokens[:i]
    return tokens
