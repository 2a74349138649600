"""Small models of real transformers classes, by name. The vocabulary's size is the tokenizer's."""

from __future__ import annotations

from typing import Any

import transformers as tf

CONTEXT = 64  # tokens


def _gpt2(vocabulary: int) -> tf.PreTrainedConfig:
    return tf.GPT2Config(
        vocab_size=vocabulary, n_positions=CONTEXT, n_embd=128, n_layer=12, n_head=4,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip


def _gemma3(vocabulary: int) -> tf.PreTrainedConfig:
    return tf.Gemma3TextConfig(
        vocab_size=vocabulary, hidden_size=128, intermediate_size=384, num_hidden_layers=10,
        num_attention_heads=4, num_key_value_heads=2, head_dim=32, query_pre_attn_scalar=32,
        max_position_embeddings=CONTEXT, sliding_window=32, bos_token_id=0, eos_token_id=0,
        pad_token_id=0,
    )  # fmt: skip


def _qwen3(vocabulary: int) -> tf.PreTrainedConfig:
    return tf.Qwen3Config(
        vocab_size=vocabulary, hidden_size=128, intermediate_size=384, num_hidden_layers=14,
        num_attention_heads=4, num_key_value_heads=2, head_dim=32,
        max_position_embeddings=CONTEXT, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
        pad_token_id=0,
    )  # fmt: skip


SHAPES = {"gpt2": _gpt2, "gemma3": _gemma3, "qwen3": _qwen3}


def make_model(shape: str, vocabulary: int) -> Any:
    """Return a model with random weights, by torch's seed; float32."""
    return tf.AutoModelForCausalLM.from_config(SHAPES[shape](vocabulary)).float()
