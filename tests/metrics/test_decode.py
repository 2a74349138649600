"""Left-padded generation against one prompt at a time without a cache."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.errors import ModelError
from goldenlayers.metrics import decode as module
from goldenlayers.metrics.decode import TopK, decode, end_tokens, pads_left
from tests import tiny
from tests.metrics.samples import logits_of, prompt_of, slow_greedy

LENGTHS = [3, 1, 5, 0, 4, 3, 6]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", tiny.MODELS)
def test_greedy_equals_one_prompt_at_a_time(name, dtype):
    model, tokenizer = tiny.model(name, dtype), tiny.tokenizer(name)
    assert pads_left(model) is (dtype is torch.float32 and name != "bloom")
    prompts = [prompt_of(tokenizer, f.prompt) for f in tiny.FACTS]
    assert len({len(p) for p in prompts}) > 3
    found = decode(model, prompts, LENGTHS)
    assert found == [slow_greedy(model, p, n) for p, n in zip(prompts, LENGTHS, strict=True)]


@pytest.mark.parametrize("budget", [1, 40, 90])
def test_the_budget_changes_the_batches_alone(monkeypatch, budget):
    model, tokenizer = tiny.model("mistral", torch.float32), tiny.tokenizer("mistral")
    prompts = [prompt_of(tokenizer, f.prompt) for f in tiny.FACTS]
    expected = decode(model, prompts, LENGTHS)
    sizes = []
    handle = model.register_forward_pre_hook(
        lambda m, args, kwargs: sizes.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    monkeypatch.setattr(module, "MAX_BATCH_TOKENS", budget)
    done = []
    assert decode(model, prompts, LENGTHS, progress=done.append) == expected
    handle.remove()
    assert done[-1] == len(prompts)
    assert done == sorted(done)
    assert all(rows == 1 or rows * width <= budget for rows, width in sizes)


def test_a_model_without_position_ids_runs_in_equal_lengths():
    model = tiny.model("bloom", torch.float32)
    assert not pads_left(model)
    masks = []
    handle = model.register_forward_pre_hook(
        lambda m, args, kwargs: masks.append(kwargs.get("attention_mask")), with_kwargs=True
    )
    decode(model, [(1, 2), (3, 4, 5), (6, 7)], [2, 2, 2])
    handle.remove()
    assert len(masks) == 4  # two lengths, two tokens each
    assert all(mask is None for mask in masks)


def test_a_peft_model_is_looked_through():
    import peft

    model = tiny.model("llama", torch.float32)
    prompts = [(1, 2, 3), (4, 5, 6, 7, 8)]
    expected = decode(model, prompts, [3, 3])
    config = peft.LoraConfig(target_modules=["down_proj"], task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(model, config)
    wrapped.eval()
    assert pads_left(wrapped)
    assert decode(wrapped, prompts, [3, 3]) == expected  # an adapter begins as nothing


def slow_sample(model, prompt, n, seed, k, forbidden):
    """Inverse-free draw: the same generator, one prompt, no cache."""
    generator = torch.Generator().manual_seed(seed)
    ids = list(prompt)
    for _ in range(n):
        logits = logits_of(model, ids)[-1]
        allowed = [i for i in range(len(logits)) if i not in forbidden]
        best = sorted(allowed, key=lambda i: -float(logits[i]))[:k]
        shares = torch.softmax(logits[best].double(), -1)
        ids.append(best[int(torch.multinomial(shares, 1, generator=generator))])
    return tuple(ids[len(prompt) :])


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "opt", "bloom", "gptj", "qwen3"])
def test_samples_equal_one_prompt_at_a_time(name):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    prompts = [prompt_of(tokenizer, f.prompt) for f in tiny.FACTS[:4]]
    seeds, forbidden = [3, 1, 4, 1], {0, 1, 2, 99_999}
    found = decode(model, prompts, [6, 4, 8, 1], TopK(seeds, 5, forbidden))
    for prompt, tokens, seed in zip(prompts, found, seeds, strict=True):
        assert tokens == slow_sample(model, prompt, len(tokens), seed, 5, forbidden)
    other = decode(model, prompts, [6, 4, 8, 1], TopK([9, 9, 9, 9], 5, forbidden))
    assert other != found


def test_a_broken_model_is_sampled_without_a_crash():
    draw = TopK([0, 0, 0], 3)
    logits = torch.full((3, 8), float("nan"))
    logits[1] = float("-inf")
    logits[2] = float("inf")
    assert all(0 <= token < 8 for token in draw([0, 1, 2], logits))


def test_nothing_to_write():
    model = tiny.model("llama")
    assert decode(model, [], []) == []
    assert decode(model, [(1, 2)], [0]) == [()]


def test_a_token_beyond_the_vocabulary_is_named():
    with pytest.raises(ModelError, match="token 700"):
        decode(tiny.model("llama"), [(700,)], [1])


def test_ends_are_those_of_tokenizer_and_model():
    model, tokenizer = tiny.model("llama"), tiny.byte_level_bpe()
    model.generation_config.eos_token_id = [7, 9]
    model.config.eos_token_id = 11
    assert end_tokens(tokenizer, model) == {tokenizer.eos_token_id, 7, 9, 11}
