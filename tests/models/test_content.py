"""The hash of what a model holds."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.errors import ModelError
from goldenlayers.models import content
from goldenlayers.models.content import content_hash
from tests import tiny


def test_same_weights_same_hash(monkeypatch):
    first, second = tiny.model("llama", torch.float32), tiny.model("llama", torch.float32)
    assert content_hash(first) == content_hash(second)
    assert len(content_hash(first)) == 64
    monkeypatch.setattr(content, "CHUNK", 7)  # tensors in many pieces
    assert content_hash(first) == content_hash(second)


@pytest.mark.parametrize("name", ["llama", "llama_tied", "gpt2", "bloom", "opt"])
def test_every_weight_and_buffer_has_a_say(name):
    model = tiny.model(name, torch.float32)
    before = content_hash(model)
    for tensor in model.state_dict().values():
        flat = tensor.view(-1)
        kept = flat[-1].clone()
        flat[-1] = torch.nextafter(kept, torch.tensor(9e9))  # one bit, the last number
        assert content_hash(model) != before
        flat[-1] = kept
    assert content_hash(model) == before


def test_dtype_and_names_have_a_say():
    class Two(torch.nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.register_buffer("a", a)
            self.register_buffer("b", b)

    x, y = torch.zeros(4), torch.ones(4)
    hashes = [
        content_hash(Two(*pair))
        for pair in [
            (x, y),
            (y, x),
            (x.half(), y),
            (x.reshape(2, 2), y),
            (x[:0], y),
            (x.to(torch.int32), y),
            (torch.tensor(0.0), y),
            (torch.tensor(False), y),
        ]
    ]
    assert len(set(hashes)) == len(hashes)


def test_layout_tying_and_flags_have_none():
    model = tiny.model("llama", torch.float32)
    before = content_hash(model)
    weight = model.model.layers[0].mlp.down_proj.weight
    weight.data = weight.data.T.contiguous().T
    assert not weight.is_contiguous()
    model.train()
    weight.requires_grad_(False)
    assert content_hash(model) == before
    tied = tiny.model("llama_tied", torch.float32)
    same = content_hash(tied)
    tied.lm_head.weight = torch.nn.Parameter(tied.lm_head.weight.detach().clone())
    assert content_hash(tied) == same


def test_half_precision_is_another_model():
    assert content_hash(tiny.model("llama", torch.float32)) != content_hash(
        tiny.model("llama", torch.bfloat16)
    )


def test_weights_that_are_not_there_are_an_error():
    with pytest.raises(ModelError, match="meta device"):
        content_hash(tiny.model("llama", torch.float32).to("meta"))
