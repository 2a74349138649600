"""The models that the benchmarks run on: the bundled one, and random weights of other shapes.

Random weights stand in for speed and shape, never for quality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from goldenlayers.facts import Fact, bundled_facts
from goldenlayers.models.load import load_model


@dataclass
class Case:
    """A model with facts to run it on."""

    name: str
    model: Any
    tokenizer: Any
    facts: list[Fact]


def cases(names: list[str], n_facts: int, split: str = "proxy") -> list[Case]:
    """Build the named cases, one at a time in memory terms: small models all."""
    bundled = load_model("bundled", say=print)
    facts = list(bundled_facts().split(split))[:n_facts]
    return [
        Case(name, bundled.model if name == "bundled" else _random(name), bundled.tokenizer, facts)
        for name in names
    ]


def _random(name: str) -> Any:
    import transformers as tf

    torch.manual_seed(0)
    if name == "gpt2":  # GPT-2 small's shape: 12 layers, Conv1D sites, learned positions
        config = tf.GPT2Config(vocab_size=49152, n_embd=768, n_layer=12, n_head=12)
        return tf.GPT2LMHeadModel(config).eval()
    if name == "gemma3":  # Gemma-3's block (post-norms, sliding windows) at 270M's width
        config = tf.Gemma3TextConfig(
            vocab_size=49152,
            hidden_size=640,
            intermediate_size=2048,
            num_hidden_layers=18,
            num_attention_heads=4,
            num_key_value_heads=1,
            head_dim=256,
        )
        return tf.Gemma3ForCausalLM(config).eval()
    raise SystemExit(f"unknown case {name!r}; known are bundled, gpt2, gemma3")
