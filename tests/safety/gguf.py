"""A tiny GGUF file, made here."""

from __future__ import annotations

import gguf
import numpy as np

WIDTH, INNER, HEADS, LAYERS = 32, 32, 4, 1


def write_gguf(path, letters="abcdefgh "):
    """Write a LLaMA of one layer with random weights and a byte-level tokenizer."""
    rng = np.random.default_rng(0)
    tokens = ["<s>", "</s>", *(c.replace(" ", "Ġ") for c in letters), "ab"]
    out = gguf.GGUFWriter(path, "llama")
    out.add_block_count(LAYERS)
    out.add_context_length(64)
    out.add_embedding_length(WIDTH)
    out.add_feed_forward_length(INNER)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("gpt2")
    out.add_token_list(tokens)
    out.add_token_types([3, 3, *([1] * (len(tokens) - 2))])
    out.add_token_merges(["a b"])
    out.add_bos_token_id(0)
    out.add_eos_token_id(1)

    def add(name, *shape):
        out.add_tensor(name, rng.normal(size=shape).astype(np.float32))

    add("token_embd.weight", len(tokens), WIDTH)
    add("output.weight", len(tokens), WIDTH)
    add("output_norm.weight", WIDTH)
    for n in range(LAYERS):
        for part in ("attn_norm", "ffn_norm"):
            add(f"blk.{n}.{part}.weight", WIDTH)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{n}.{part}.weight", WIDTH, WIDTH)
        add(f"blk.{n}.ffn_gate.weight", INNER, WIDTH)
        add(f"blk.{n}.ffn_up.weight", INNER, WIDTH)
        add(f"blk.{n}.ffn_down.weight", WIDTH, INNER)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path
