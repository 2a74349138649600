"""Greedy continuations against transformers' own generation."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.models.text import encode_prompts
from goldenlayers.passes.greedy import TokenFilter, greedy_continuations
from tests import tiny


@pytest.mark.parametrize("name", tiny.MODELS)
def test_equals_generate_one_prompt_at_a_time(name):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    prompts = encode_prompts(tokenizer, [f.prompt for f in tiny.FACTS])
    lengths = [3, 1, 5, 2, 4, 3, 3]
    found = greedy_continuations(model, prompts, lengths)
    model.generation_config.eos_token_id = None  # our unfiltered path does not stop either
    for prompt, n, tokens in zip(prompts, lengths, found, strict=True):
        ids = torch.tensor([prompt])
        expected = model.generate(
            ids, max_new_tokens=n, min_new_tokens=n, do_sample=False, pad_token_id=0
        )
        assert list(tokens) == expected[0, len(prompt) :].tolist()


class Scripted(torch.nn.Module):
    """A model that wants to say the given tokens, best first at each step."""

    def __init__(self, wishes, vocabulary):
        super().__init__()
        self.wishes, self.vocabulary = wishes, vocabulary
        self.device = torch.device("cpu")
        self.step = 0

    def forward(self, input_ids, past_key_values=None, use_cache=True):
        logits = torch.zeros(*input_ids.shape, self.vocabulary)
        for rank, token in enumerate(self.wishes[self.step]):
            logits[:, -1, token] = 10.0 - rank
        self.step += 1

        class Output:
            pass

        out = Output()
        out.logits, out.past_key_values = logits, None
        return out


def test_special_and_blank_tokens_may_not_begin_and_end_it_later():
    tokenizer = tiny.byte_level_bpe()
    end = tokenizer.eos_token_id
    blank, word, other = (tokenizer.convert_tokens_to_ids(t) for t in ("Ġ", "m", "k"))
    newline = tokenizer.convert_tokens_to_ids("Ċ")
    keep = lambda: TokenFilter(tokenizer, object())  # noqa: E731

    model = Scripted([[end, blank, newline, word, other], [other], [blank], [word]], len(tokenizer))
    assert greedy_continuations(model, [(1, 2)], [4], keep=keep()) == [(word, other)]
    model = Scripted([[word], [end], [other]], len(tokenizer))
    assert greedy_continuations(model, [(1, 2)], [3], keep=keep()) == [(word,)]
    # without the filter everything is kept as it comes
    model = Scripted([[end], [blank], [other]], len(tokenizer))
    assert greedy_continuations(model, [(1, 2)], [3]) == [(end, blank, other)]


def test_the_filter_looks_beyond_the_first_candidates():
    tokenizer = tiny.byte_level_bpe()
    blanks = [i for i in range(len(tokenizer)) if not tokenizer.decode([i]).strip()]
    word = tokenizer.convert_tokens_to_ids("m")
    logits = torch.zeros(len(tokenizer))
    logits[blanks] = 5.0
    logits[word] = 1.0
    assert len(blanks) > 2
    assert TokenFilter(tokenizer, object()).first(logits) == word


def test_end_tokens_of_the_model_count_too():
    class Config:
        eos_token_id = [7, 9]  # noqa: RUF012

    class Model:
        generation_config = Config()

    keep = TokenFilter(tiny.byte_level_bpe(), Model())
    assert keep.ends(7)
    assert keep.ends(9)
