"""Context templates."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.editors.templates import LENGTHS, SHORT, STARTS, Templates, make_templates
from goldenlayers.errors import SettingsError
from goldenlayers.models.text import encode_prompts
from tests import tiny


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
def test_published_templates(name):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    made = make_templates(model, tokenizer, "published", seed=4)
    assert made.kind == "published"
    assert made.seed == 4
    assert made.prefixes[0] == ""
    assert len(made.prefixes) == 1 + sum(count for _, count in LENGTHS) == 21
    assert all(p.endswith(". ") and p == p.lstrip() for p in made.prefixes[1:])
    assert not any("\n" in p for p in made.prefixes)
    assert made == make_templates(model, tokenizer, "published", seed=4)
    assert made != make_templates(model, tokenizer, "published", seed=5)
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())


def test_the_lengths_are_the_published_ones():
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer("gpt2")
    made = make_templates(model, tokenizer, "published")
    starts = encode_prompts(tokenizer, STARTS)
    for i, prefix in enumerate(made.prefixes[1:]):
        length = 5 if i < 10 else 10
        # the first token of the start at least; decoding bytes and encoding them again may differ
        first = tokenizer.decode(list(starts[i % 5][: min(length, len(starts[i % 5]))])).strip()
        assert prefix.startswith(first)
    longer = [len(p) for p in made.prefixes[11:]]
    assert sum(longer) > sum(len(p) for p in made.prefixes[1:11])


def test_the_other_kinds():
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer("gpt2")
    assert make_templates(model, tokenizer, "bare").prefixes == ("",)
    assert make_templates(model, tokenizer, "short").prefixes == SHORT
    own = make_templates(model, tokenizer, ["Well, ", "", "{} braces {. "])
    assert own.prefixes == ("", "Well, ", "{} braces {. ")
    assert own.kind == "own"
    assert make_templates(model, tokenizer, own) is own


def test_what_is_refused():
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer("gpt2")
    with pytest.raises(SettingsError, match="templates 'many' are unknown"):
        make_templates(model, tokenizer, "many")
    for wrong in (None, 5, [], [1, None]):
        with pytest.raises(SettingsError, match="expected one of published, short, bare"):
            make_templates(model, tokenizer, wrong)
    assert make_templates(model, tokenizer, ["A ", "A "]).prefixes == ("", "A ")
    with pytest.raises(SettingsError, match="the first prefix must be ''"):
        Templates("own", ("Well, ",))
    with pytest.raises(SettingsError, match="the first prefix"):
        Templates("own", ())
