"""Every family that we can build: all checks hold, or fall back for a reason that is known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import goldenlayers
from goldenlayers.conformance import CHECKS, FALLS_BACK, HOLDS, check_model
from goldenlayers.models.content import content_hash
from tests import tiny
from tests.conformance import families

# (model, check) -> how its detail begins; whatever else does not hold is a failure
FALLBACKS = {
    # recurrent: a prefix leaves a state, not keys and values
    ("mamba", "prefix reuse"): "whole rows are run instead (RuntimeError",
    ("mamba", "growing batch"): "growing batch, values by whole rows, because prefix reuse failed",
    # its ALiBi bias is built for one length of keys, and the batch of the edited layers has two
    ("mpt", "growing batch"): "growing batch, scored by the plain loop: RuntimeError",
}


def all_hold(name, model, tokenizer):
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


@pytest.mark.parametrize("name", tiny.MODELS)
def test_families_that_the_tests_know_in_detail(name):
    all_hold(name, tiny.model(name, torch.float64), tiny.tokenizer(name))


@pytest.mark.parametrize("name", families.MODELS)
def test_families_that_only_these_checks_know(name):
    all_hold(name, families.model(name), families.tokenizer(name))


def test_hardly_any_of_these_is_named_in_the_package():
    package = Path(goldenlayers.__file__).parent
    lines = "".join(p.read_text(encoding="utf-8") for p in package.rglob("*.py"))
    named = {n for n in families.MODELS if re.search(rf"\b{re.escape(n)}\b", lines, re.I)}
    assert named <= {"mpt", "gemma", "phi", "mamba"}  # in comments, or as beginnings of other names


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["gpt2", "gemma3_text", "opt"])
def test_narrower_dtypes(name, dtype):
    found = check_model(tiny.model(name, dtype), tiny.tokenizer(name), tiny.FACTS[:3])
    assert found.ok, [(c.name, c.found.detail) for c in found.checks]


@pytest.mark.bundled
def test_the_bundled_model(bundled):
    found = check_model(bundled.model, bundled.tokenizer)
    assert [(c.name, c.found.status) for c in found.checks] == [(n, HOLDS) for n in CHECKS]
