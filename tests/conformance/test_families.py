"""Every family that we have a tiny model of: all checks hold, or fall back for a known reason."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.conformance import CHECKS, FALLS_BACK, HOLDS, check_model
from goldenlayers.models.content import content_hash
from tests import tiny

# (model, check) -> how its detail begins; whatever else does not hold is a failure
FALLBACKS: dict[tuple[str, str], str] = {}


@pytest.mark.parametrize("name", tiny.MODELS)
def test_all_checks_hold(name):
    model, tokenizer = tiny.model(name, torch.float64), tiny.tokenizer(name)
    before = content_hash(model)
    found = check_model(model, tokenizer, tiny.FACTS[:3])
    assert [c.name for c in found.checks] == list(CHECKS)
    for check in found.checks:
        expected = FALLBACKS.get((name, check.name))
        if expected is None:
            assert check.found.status == HOLDS, (check.name, check.found.detail)
        else:
            assert check.found.status == FALLS_BACK
            assert check.found.detail.startswith(expected)
    assert found.ok
    assert content_hash(model) == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["gpt2", "gemma3_text"])
def test_narrower_dtypes(name, dtype):
    found = check_model(tiny.model(name, dtype), tiny.tokenizer(name), tiny.FACTS[:3])
    assert found.ok, [(c.name, c.found.detail) for c in found.checks]


@pytest.mark.bundled
def test_the_bundled_model(bundled):
    found = check_model(bundled.model, bundled.tokenizer)
    assert [(c.name, c.found.status) for c in found.checks] == [(n, HOLDS) for n in CHECKS]
