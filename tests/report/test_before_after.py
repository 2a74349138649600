"""What a model says about a fact, against one forward pass a token."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from goldenlayers.metrics.decode import end_tokens
from goldenlayers.models.text import encode_prompts
from goldenlayers.report.before_after import BeforeAfter, Look, look
from tests import tiny
from tests.editors.test_edit import same, state

FACTS = [replace(f, rephrase_prompts=(f"They say: {f.prompt}", "So")) for f in tiny.FACTS[:3]]


@torch.no_grad()
def by_hand(model, tokenizer, prompt, tokens):
    ids = list(encode_prompts(tokenizer, [prompt])[0])
    start, first = len(ids), None
    ends = end_tokens(tokenizer, model)
    for _ in range(tokens):
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1].float()
        first = logits.softmax(-1) if first is None else first
        ids.append(int(logits.argmax()))
    written = ids[start:]
    cut = next((i for i, t in enumerate(written) if t in ends), len(written))
    return first, " ".join(tokenizer.decode(written[:cut]).split())


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_top_tokens_and_continuations(name):
    model, tokenizer = tiny.model(name).train(), tiny.tokenizer(name)
    before = state(model)
    bars = []
    looks = look(
        model, tokenizer, FACTS, top=3, tokens=6, progress=lambda *b: bars.append(b), stage="s"
    )
    assert same(model, before)
    assert model.training
    assert bars == [("s", 1, 3), ("s", 2, 3), ("s", 3, 3)]
    model.eval()
    for fact, found in zip(FACTS, looks, strict=True):
        expected = [by_hand(model, tokenizer, p, 6) for p in (fact.prompt, *fact.rephrase_prompts)]
        assert found.continuations == tuple(text for _, text in expected)
        best = expected[0][0].topk(3)
        assert [p for _, p in found.top] == pytest.approx(best.values.tolist(), rel=1e-5)
        assert [t for t, _ in found.top] == [tokenizer.decode([i]) for i in best.indices.tolist()]


def test_it_stops_where_the_model_does():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.weight[tokenizer.eos_token_id] = 1  # 0 elsewhere: it, or the first token
    (found,) = look(model, tokenizer, FACTS[:1])
    assert set(found.continuations) <= {"", tokenizer.decode([0])}
    assert "</s>" not in "".join(found.continuations)


def test_prompts_that_leave_no_room():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    prompt = "so"
    while len(encode_prompts(tokenizer, [prompt])[0]) <= 116:  # with 12 more, 128 is the context
        prompt += " so"
    full = replace(FACTS[0], prompt=prompt)
    beyond = replace(FACTS[0], prompt="so " * 200)
    shown, cut = look(model, tokenizer, [full, beyond])
    assert (len(shown.top), shown.continuations[0]) == (5, "")
    assert (cut.top, cut.continuations[0]) == ((), "")
    assert cut.continuations[2] != ""


def test_more_tokens_than_there_are():
    model = tiny.model("llama")
    (found,) = look(model, tiny.tokenizer("llama"), FACTS[:1], top=10_000, tokens=1)
    assert len(found.top) == tiny.V
    assert sum(p for _, p in found.top) == pytest.approx(1)


def test_record():
    before = Look((("a", 0.5),), ("x", "y", "z"))
    after = Look((("b", 0.75),), ("p", "q", "r"))
    assert BeforeAfter(FACTS[0], before, after).to_dict() == {
        "id": "1",
        "prompt": "The capital of Norland is",
        "target_new": "Bergstad",
        "next_tokens": {
            "before": [{"token": "a", "probability": 0.5}],
            "after": [{"token": "b", "probability": 0.75}],
        },
        "continuations": [
            {"prompt": "The capital of Norland is", "before": "x", "after": "p"},
            {"prompt": "They say: The capital of Norland is", "before": "y", "after": "q"},
            {"prompt": "So", "before": "z", "after": "r"},
        ],
    }
