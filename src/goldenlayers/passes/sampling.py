"""Text that a model writes itself: seeded samples, with a key-value cache."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.next_input import next_input
from goldenlayers.passes.room import Room, in_order, in_pieces
from goldenlayers.passes.transfers import on_device

MAX_ROWS = 32


@torch.no_grad()
def sample(
    model: Any,
    prompts: Sequence[tuple[int, ...]],
    length: int,
    *,
    seed: int,
    top_k: int | None = None,
    forbidden: Collection[int] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> list[tuple[int, ...]]:
    """Continue each prompt by sampling.

    Each prompt has a generator of its own, seeded by `seed` and its position, on the CPU: what is
    drawn depends neither on the other prompts nor on the device (but for rounding in the logits).

    Args:
        model: A causal language model of transformers, in evaluation mode.
        prompts: Token ids, at least one each.
        length: Number of tokens to write after each prompt.
        seed: Seed, 0 or more.
        top_k: Draw among the so many most likely tokens; None draws from the whole distribution.
        forbidden: Token ids that are never drawn, such as end-of-text.
        progress: Called with the number of prompts done.

    Returns:
        The `length` token ids written after each prompt.

    Raises:
        MemoryShortError: If memory does not suffice for one text alone.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for i, prompt in enumerate(prompts):
        by_length[len(prompt)].append(i)
    out: list[tuple[int, ...]] = [()] * len(prompts)
    banned = torch.tensor(sorted(forbidden), dtype=torch.long)
    room = Room(MAX_ROWS)  # counted in rows, not in tokens
    done = 0
    for _, members in sorted(by_length.items()):

        def run(chosen: list[int], members: list[int] = members) -> list[list[int]]:
            chunk = [members[k] for k in chosen]
            # made anew where a chunk is written again, so that the same is drawn
            draws = [_Draw(seed, i, top_k, banned) for i in chunk]
            return _write(model, [prompts[i] for i in chunk], length, draws)

        for chosen, written in in_pieces(
            [1] * len(members), room, run, item="text", parted=in_order
        ):
            for k, tokens in zip(chosen, written, strict=True):
                out[members[k]] = tuple(tokens)
            done += len(chosen)
            progress(done)
    return out


class _Draw:
    """Draws the tokens of one text."""

    def __init__(self, seed: int, index: int, top_k: int | None, banned: Tensor):
        # an odd multiplier keeps (seed, index) pairs apart within 63 bits
        self._generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63)
        self._top_k = top_k
        self._banned = banned

    def __call__(self, logits: Tensor) -> int:
        """Draw from (V,) logits on the CPU."""
        # a tokenizer may name special tokens that the model's head does not have
        banned = self._banned[self._banned < len(logits)]
        logits = logits.index_fill(0, banned, float("-inf"))
        ids = None
        if self._top_k is not None:
            logits, ids = logits.topk(min(self._top_k, logits.numel()))
        drawn = int(torch.multinomial(logits.softmax(-1), 1, generator=self._generator))
        return drawn if ids is None else int(ids[drawn])


def _write(
    model: Any, prompts: list[tuple[int, ...]], length: int, draws: list[_Draw]
) -> list[list[int]]:
    device = model.device
    ids = on_device(prompts, device)  # (B, T)
    rows = torch.arange(len(prompts), device=device)
    cache = None
    out: list[list[int]] = [[] for _ in prompts]
    for _ in range(length):
        last = torch.full_like(rows, ids.shape[1] - 1)
        with answer_logits(model, rows, last) as gathered:
            output = model(input_ids=ids, past_key_values=cache, use_cache=True)
        logits = gathered.pick(output.logits).float().cpu()  # (B, V)
        tokens = [draw(row) for draw, row in zip(draws, logits, strict=True)]
        for row, token in zip(out, tokens, strict=True):
            row.append(token)
        ids, cache = next_input(output, ids, tokens)
    return out
