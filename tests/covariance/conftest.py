"""What the tests of `key_covariance` share: documents of unequal length, a small run."""

from __future__ import annotations

import itertools
import json

import pytest
import torch

from goldenlayers.covariance.compute import key_covariance
from tests import tiny

PROSE = " ".join(tiny.CORPUS[:14])
SMALL = {"length": 12, "tokens": 150, "batch_tokens": 30}


@pytest.fixture
def text(tmp_path):
    """Documents of unequal length, so that batches are padded."""
    path = tmp_path / "prose.jsonl"
    cuts = [0, 90, 97, 240, 260, 500, len(PROSE)]
    documents = [PROSE[a:b] for a, b in itertools.pairwise(cuts)]
    path.write_text("".join(json.dumps({"text": d}) + "\n" for d in documents))
    return path


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def llama():
    return tiny.model("llama", torch.float32)


@pytest.fixture
def compute(llama, text, cache):
    """Compute on the LLaMA, or whatever else is named."""

    def compute(model=llama, layers=None, **settings):
        settings = {"text": text, "cache": cache, **SMALL, **settings}
        return key_covariance(model, tiny.tokenizer("llama"), layers, **settings)

    return compute
