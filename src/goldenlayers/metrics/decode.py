"""Generation for many prompts of different lengths in one batch, greedy or sampled.

Prompts are padded on the left, under an attention mask and with positions counted from the first
real token, as transformers' own generation does it. Where that does not work, prompts are run in
groups of equal length instead, see `pads_left`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from goldenlayers.models.sites import text_config
from goldenlayers.models.text import require_vocabulary
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.next_input import next_input
from goldenlayers.passes.room import Room

MAX_BATCH_TOKENS = 4096

# Called with the rows of the batch, as indices of the caller's prompts, and their (B, V) logits.
Choose = Callable[[Sequence[int], Tensor], list[int]]


def greedily(rows: Sequence[int], logits: Tensor) -> list[int]:
    """Choose the most likely token of each row."""
    chosen: list[int] = logits.argmax(-1).tolist()
    return chosen


class TopK:
    """Draws among the k most likely tokens, with a generator of its own for each prompt.

    Args:
        seeds: Seed of each prompt, 0 or more; generators live on the CPU.
        k: Number of tokens to draw among.
        forbidden: Token ids that are never drawn.
    """

    def __init__(self, seeds: Sequence[int], k: int, forbidden: Collection[int] = ()):
        self._seeds = list(seeds)
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._k = k
        self._forbidden = sorted(forbidden)

    def restart(self, rows: Sequence[int]) -> None:
        """Put the generators of some rows back to where they began."""
        for row in rows:
            self._generators[row].manual_seed(self._seeds[row])

    def __call__(self, rows: Sequence[int], logits: Tensor) -> list[int]:
        """Draw a token for each row of (B, V) logits."""
        banned = [i for i in self._forbidden if i < logits.shape[1]]
        logits = logits.index_fill(1, torch.tensor(banned, device=logits.device).long(), -torch.inf)
        values, tokens = logits.topk(min(self._k, logits.shape[1]), dim=1)  # (B, k) each
        # a model that an edit broke may give no number at all: all k are then alike
        shares = values.double().cpu().softmax(-1).nan_to_num(nan=1.0)  # (B, k)
        drawn = [
            int(torch.multinomial(share, 1, generator=self._generators[row]))
            for row, share in zip(rows, shares, strict=True)
        ]
        return [int(of[i]) for of, i in zip(tokens.tolist(), drawn, strict=True)]


def end_tokens(tokenizer: Any, model: Any) -> frozenset[int]:
    """Return the token ids that end a text: the tokenizer's special ones, the model's ends."""
    ends = set(tokenizer.all_special_ids)
    for config in (getattr(model, "generation_config", None), text_config(model)):
        end = getattr(config, "eos_token_id", None)
        ends |= set(end if isinstance(end, list) else [] if end is None else [end])
    return frozenset(ends)


@torch.no_grad()
def decode(
    model: Any,
    prompts: Sequence[tuple[int, ...]],
    lengths: Sequence[int],
    choose: Choose = greedily,
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> list[tuple[int, ...]]:
    """Continue each prompt.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        prompts: Token ids of each prompt, at least one each.
        lengths: Number of tokens wanted after each prompt.
        choose: How the next tokens are chosen.
        progress: Called with the number of prompts done.

    Returns:
        Token ids of each continuation, exactly as many as asked for.

    Raises:
        ModelError: If a token lies beyond the model's vocabulary.
        MemoryShortError: If memory does not suffice for one prompt alone.
    """
    require_vocabulary(model, prompts)
    out: list[tuple[int, ...]] = [()] * len(prompts)
    room = Room(MAX_BATCH_TOKENS)
    left = list(range(len(prompts)))
    done = 0
    while left:
        for group in _groups(model, prompts, lengths, left, room.tokens or MAX_BATCH_TOKENS):
            cost = len(group) * max(len(prompts[i]) + lengths[i] for i in group)
            if isinstance(choose, TopK):
                choose.restart(group)  # so that a group that is written again draws the same
            written = room.attempt(
                partial(_continue, model, group, [prompts[i] for i in group], lengths, choose),
                cost,
                least="one prompt alone" if len(group) == 1 else None,
            )
            if written is None:
                break
            for i, tokens in zip(group, written, strict=True):
                out[i] = tuple(tokens[: lengths[i]])
            left = [i for i in left if i not in set(group)]
            done += len(group)
            progress(done)
    return out


def _groups(
    model: Any,
    prompts: Sequence[tuple[int, ...]],
    lengths: Sequence[int],
    wanted: Sequence[int],
    most: int,
) -> list[list[int]]:
    """Return batches of the wanted prompts, of similar length, that keep to `most` tokens."""
    order = sorted(wanted, key=lambda i: (len(prompts[i]), lengths[i], i))
    if pads_left(model):
        same = [order]
    else:
        same = [list(g) for _, g in groupby(order, key=lambda i: len(prompts[i]))]
    groups: list[list[int]] = []
    for members in same:
        group: list[int] = []
        steps = 0
        for i in members:
            steps = max(steps, lengths[i])
            if group and (len(group) + 1) * (len(prompts[i]) + steps) > most:
                groups.append(group)
                group, steps = [], lengths[i]
            group.append(i)
        groups += [group] if group else []
    return groups


def pads_left(model: Any) -> bool:
    """Return whether prompts of a model can be padded on the left.

    It must take position ids (Bloom does not). And its mask must survive the softmax: that of
    float64, the lowest number of all, is minus infinity where eager attention computes it in
    float32, a padding token that sees padding alone then becomes NaN, and so does the whole row.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    takes_positions = "position_ids" in inspect.signature(base.forward).parameters
    return takes_positions and model.get_input_embeddings().weight.dtype != torch.float64


def _continue(
    model: Any,
    group: Sequence[int],
    prompts: Sequence[tuple[int, ...]],
    lengths: Sequence[int],
    choose: Choose,
) -> list[list[int]]:
    device = model.device
    T = max(map(len, prompts))
    gaps = [T - len(p) for p in prompts]
    ids = torch.tensor([[p[0]] * n + [*p] for p, n in zip(prompts, gaps, strict=True)]).to(device)
    mask = None
    if any(gaps):
        mask = torch.tensor([[0] * n + [1] * (T - n) for n in gaps], device=device)  # (B, T)
    rows = torch.arange(len(prompts), device=device)
    cache = None
    out: list[list[int]] = [[] for _ in prompts]
    for _ in range(max(lengths[i] for i in group)):
        extra = {}
        if mask is not None:
            positions = (mask.cumsum(1) - 1).clamp_min(0)[:, -ids.shape[1] :]  # as ids
            extra = {"attention_mask": mask, "position_ids": positions}
            mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
        last = torch.full_like(rows, ids.shape[1] - 1)
        with answer_logits(model, rows, last) as gathered:
            output = model(input_ids=ids, past_key_values=cache, use_cache=True, **extra)
        logits = gathered.pick(output.logits)  # (B, V)
        tokens = choose(group, logits)
        for row, token in zip(out, tokens, strict=True):
            row.append(token)
        ids, cache = next_input(output, ids, tokens)
    return out
