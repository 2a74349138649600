"""Sampled text: seeded, each prompt by itself, with the probabilities of the model."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from goldenlayers.passes.sampling import sample
from tests import tiny


@torch.no_grad()
def by_the_book(model, prompt, length, seed, index, top_k=None, forbidden=()):
    """No cache, no batch: the whole text is run for every token."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63)
    ids = list(prompt)
    for _ in range(length):
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float()
        for token in forbidden:
            logits[token] = float("-inf")
        order = torch.argsort(logits, descending=True)[: top_k or len(logits)]
        if top_k is None:
            order = torch.arange(len(logits))
        drawn = torch.multinomial(logits[order].softmax(-1), 1, generator=generator)
        ids.append(int(order[drawn]))
    return tuple(ids[len(prompt) :])


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "bloom", "opt", "gpt_neox"])
@pytest.mark.parametrize("top_k", [None, 5])
def test_equals_sampling_by_the_book(name, top_k):
    model = tiny.model(name)
    prompts = [(5, 6, 7), (8, 9), (5, 6, 7), (10, 11)]
    found = sample(model, prompts, 6, seed=3, top_k=top_k, forbidden=[0, 1, 2])
    assert found == [
        by_the_book(model, p, 6, 3, i, top_k, (0, 1, 2)) for i, p in enumerate(prompts)
    ]
    assert found[0] != found[2]  # the same prompt twice is drawn twice
    assert all(0 not in text and 1 not in text and 2 not in text for text in found)


def test_a_prompt_is_drawn_alike_whatever_stands_after_it():
    model = tiny.model("llama")
    together = sample(model, [(5, 6), (7, 8, 9), (5, 6)], 5, seed=1)
    assert sample(model, [(5, 6)], 5, seed=1) == together[:1]
    assert sample(model, [(5, 6)], 5, seed=2) != together[:1]


def test_progress_and_nothing_to_do():
    seen = []
    sample(tiny.model("llama"), [(5,), (6,), (7, 8)], 2, seed=0, progress=seen.append)
    assert seen == [2, 3]
    assert sample(tiny.model("llama"), [], 2, seed=0) == []


def test_the_shares_are_those_of_the_model():
    model = tiny.model("gpt2")
    with torch.no_grad():
        p = model(input_ids=torch.tensor([[5, 6]])).logits[0, -1].float().softmax(-1)
    n = 1500
    counts = Counter(text[0] for text in sample(model, [(5, 6)] * n, 1, seed=0))
    for token in p.topk(3).indices.tolist():
        share = float(p[token])
        assert counts[token] / n == pytest.approx(share, abs=4 * (share / n) ** 0.5)


def test_special_tokens_beyond_the_head_are_no_matter():
    model = tiny.model("llama")
    assert sample(model, [(5, 6)], 4, seed=1, forbidden=[0, 99_999]) == sample(
        model, [(5, 6)], 4, seed=1, forbidden=[0]
    )
