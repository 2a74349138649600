"""What is fed next: with keys and values the new token, without them everything."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from goldenlayers.passes.greedy import greedy_continuations
from goldenlayers.passes.next_input import next_input
from tests import tiny
from tests.conformance import families


def test_with_and_without_keys_and_values():
    ids = torch.tensor([[1, 2], [3, 4]])
    kept = SimpleNamespace(past_key_values="kept")
    found, cache = next_input(kept, ids, [5, 6])
    assert (found.tolist(), cache) == ([[5], [6]], "kept")
    for none in (SimpleNamespace(), SimpleNamespace(past_key_values=None)):
        found, cache = next_input(none, ids, [5, 6])
        assert (found.tolist(), cache) == ([[1, 2, 5], [3, 4, 6]], None)


def test_a_recurrent_model_says_what_it_says_without_any_cache():
    model, tokenizer = families.model("mamba"), families.tokenizer("mamba")
    prompts = [tuple(tokenizer(f.prompt)["input_ids"]) for f in tiny.FACTS[:3]]
    found = greedy_continuations(model, prompts, [4] * len(prompts))
    for prompt, continuation in zip(prompts, found, strict=True):
        ids = list(prompt)
        for token in continuation:
            with torch.no_grad():
                assert token == int(model(torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)
