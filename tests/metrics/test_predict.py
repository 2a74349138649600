"""Batched predictions against one row, one position at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goldenlayers.errors import ModelError
from goldenlayers.metrics.predict import FLOOR, _hosts, predict
from goldenlayers.models.text import Row
from tests import tiny
from tests.metrics.samples import logits_of, row_of, slow_reply

TOLERANCE = 1e-6  # nats; some architectures compute their softmax in float32, also in float64


def rows_for(name):
    tokenizer = tiny.tokenizer(name)
    return [
        row_of(tokenizer, f.prompt, a)
        for f in [*tiny.FACTS, *tiny.LAST_TOKEN]
        for a in (f.target_new, f.target_old)
    ]


@pytest.mark.parametrize(
    ("name", "max_tokens"), [(name, 64) for name in tiny.MODELS] + [("gpt2", 1), ("gpt2", 10_000)]
)
def test_equals_one_position_at_a_time(name, max_tokens):
    model, rows = tiny.model(name), rows_for(name)
    for row, found in zip(rows, predict(model, rows, max_tokens=max_tokens), strict=True):
        argmax, log_probs = slow_reply(model, row)
        assert found.argmax == argmax
        assert found.log_probs == pytest.approx(log_probs, abs=TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_softmax_is_float32_or_wider(dtype):
    model, rows = tiny.model("llama", dtype), rows_for("llama")[:3]
    for row, found in zip(rows, predict(model, rows, max_tokens=1), strict=True):
        logits = logits_of(model, row.ids[:-1])
        exact = torch.log_softmax(logits.double(), -1)
        wanted = [float(exact[t - 1, row.ids[t]]) for t in range(row.n_prompt, len(row.ids))]
        # bfloat16's own softmax would be off by 1e-2
        assert found.log_probs == pytest.approx(wanted, abs=1e-5)


def test_rows_that_begin_another_are_not_fed_again():
    model = tiny.model("llama")
    fed = []
    handle = model.register_forward_pre_hook(
        lambda m, args, kwargs: fed.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    rows = [
        Row((5, 6, 7, 8), 3),  # one answer token: fed 5 6 7
        Row((5, 6, 7, 9), 3),  # fed the same
        Row((5, 6, 7, 9, 10), 3),  # fed 5 6 7 9
        Row((5, 6), 1),  # fed 5
        Row((6, 6), 1),  # fed 6: begins no other
    ]
    found = predict(model, rows)
    handle.remove()
    assert [tuple(s) for s in fed] == [(2, 4)]
    for row, prediction in zip(rows, found, strict=True):
        argmax, log_probs = slow_reply(model, row)
        assert prediction.argmax == argmax
        assert prediction.log_probs == pytest.approx(log_probs, abs=TOLERANCE)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple), max_size=12))
def test_hosts_begin_with_their_guests(fed):
    hosts = _hosts(fed)
    for row, host in zip(fed, hosts, strict=True):
        assert fed[host][: len(row)] == row
        assert hosts[host] == host
    longest = {r for r in fed if not any(o != r and o[: len(r)] == r for o in fed)}
    assert {fed[h] for h in hosts} == longest
    assert len(set(hosts)) == len(longest)


def test_nothing_to_predict():
    assert predict(tiny.model("llama"), []) == []


def test_a_token_beyond_the_vocabulary_is_named():
    with pytest.raises(ModelError, match="token 9999, the model has a vocabulary of 512"):
        predict(tiny.model("llama"), [Row((1, 9999), 1)])


def test_a_broken_model_gives_the_floor_and_not_nan():
    model = tiny.model("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.fill_(float("nan"))
    found = predict(model, [Row((1, 2, 3), 1)])[0]
    assert found.log_probs == (FLOOR, FLOOR)
