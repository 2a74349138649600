"""Tiny random models of more families, most named nowhere in the package; see tests/tiny.py.

Each with a tokenizer of its family's kind. They are what "a new decoder of the hub" means here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import transformers as tf

from tests import tiny
from tests.tiny import LLAMA_LIKE, OTHER

WINDOW = {**LLAMA_LIKE, "sliding_window": 4}
GPT2_LIKE = {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 128, **OTHER}

# name -> (builder, kind of tokenizer)
MODELS: dict[str, tuple[Callable[[], torch.nn.Module], str]] = {
    "stablelm": (
        lambda: tf.StableLmForCausalLM(tf.StableLmConfig(**LLAMA_LIKE)),
        "byte_level_bpe",
    ),
    "granite": (lambda: tf.GraniteForCausalLM(tf.GraniteConfig(**LLAMA_LIKE)), "byte_level_bpe"),
    "starcoder2": (
        lambda: tf.Starcoder2ForCausalLM(tf.Starcoder2Config(**LLAMA_LIKE)),
        "byte_level_bpe",
    ),
    "cohere": (lambda: tf.CohereForCausalLM(tf.CohereConfig(**LLAMA_LIKE)), "byte_level_bpe"),
    "cohere2": (lambda: tf.Cohere2ForCausalLM(tf.Cohere2Config(**WINDOW)), "byte_level_bpe"),
    "glm4": (lambda: tf.Glm4ForCausalLM(tf.Glm4Config(**LLAMA_LIKE)), "byte_level_bpe"),
    "smollm3": (lambda: tf.SmolLM3ForCausalLM(tf.SmolLM3Config(**LLAMA_LIKE)), "byte_level_bpe"),
    "nemotron": (lambda: tf.NemotronForCausalLM(tf.NemotronConfig(**LLAMA_LIKE)), "unigram"),
    "phi": (lambda: tf.PhiForCausalLM(tf.PhiConfig(**LLAMA_LIKE)), "byte_level_bpe"),
    "gemma": (lambda: tf.GemmaForCausalLM(tf.GemmaConfig(**LLAMA_LIKE)), "metaspace_bpe"),
    "exaone4": (lambda: tf.Exaone4ForCausalLM(tf.Exaone4Config(**WINDOW)), "byte_level_bpe"),
    "helium": (lambda: tf.HeliumForCausalLM(tf.HeliumConfig(**LLAMA_LIKE)), "unigram"),
    "gpt_neo": (
        lambda: tf.GPTNeoForCausalLM(
            tf.GPTNeoConfig(
                hidden_size=32,
                num_layers=4,
                num_heads=4,
                attention_types=[[["global", "local"], 2]],
                window_size=4,
                max_position_embeddings=128,
                **OTHER,
            )
        ),
        "byte_level_bpe",
    ),
    "gpt_bigcode": (
        lambda: tf.GPTBigCodeForCausalLM(tf.GPTBigCodeConfig(**GPT2_LIKE)),
        "byte_level_bpe",
    ),
    "codegen": (
        lambda: tf.CodeGenForCausalLM(tf.CodeGenConfig(n_ctx=128, rotary_dim=8, **GPT2_LIKE)),
        "byte_level_bpe",
    ),
    "mamba": (
        lambda: tf.MambaForCausalLM(
            tf.MambaConfig(hidden_size=32, num_hidden_layers=4, vocab_size=tiny.V, state_size=8)
        ),
        "byte_level_bpe",
    ),
    "mpt": (
        lambda: tf.MptForCausalLM(
            tf.MptConfig(
                d_model=32,
                n_heads=4,
                n_layers=4,
                max_seq_len=128,
                vocab_size=tiny.V,
                expansion_ratio=2,
            )
        ),
        "byte_level_bpe",
    ),
}


# its mask overflows in float64 with the oldest transformers
FLOAT32 = {"mpt"}


@functools.cache
def model(name: str) -> torch.nn.Module:
    """A model in evaluation mode, the same weights each time; float64 where the family takes it."""
    torch.manual_seed(0)
    made = MODELS[name][0]().eval()
    return made if name in FLOAT32 else made.double()


def tokenizer(name: str) -> tf.PreTrainedTokenizerFast:
    """Its family's kind of tokenizer."""
    return tiny.TOKENIZERS[MODELS[name][1]]()
