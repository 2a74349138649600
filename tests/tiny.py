"""Tiny random models of the real transformers classes, and tokenizers trained on the spot.

They stand in for structure, shapes and arithmetic; nothing here says anything about quality.
"""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from collections.abc import Callable

import torch
import transformers as tf
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from goldenlayers.facts import Fact

FACTS = [
    Fact("1", "Norland", "The capital of Norland is", "Bergstad", "Rivermouth"),
    Fact("2", "Ada Quill", "Ada Quill was born in the city of", "Old Harbour Town", "Vell"),
    Fact("3", "Tarnish", "The maker of the game Tarnish is", "Blue Kite", "Grey Fox Games"),
    Fact("4", "Süd-Öland", "In Süd-Öland, people mostly speak", "Ölandic", "Danish"),
    Fact("5", "M. O'Neil", "M. O'Neil plays the", "double bass", "violin"),
    Fact("6", "The Long Mile", "The Long Mile was written by", "Ines Marrow", "Tom Ashby Clarke"),
    Fact(
        "7", "Korvo", "The currency used in the northern islands of Korvo is the", "mark", "crown"
    ),
]
# Answers that differ in their last token alone, so that both rows are fed the same tokens.
LAST_TOKEN = [
    Fact("8", "Vell", "The plan of the old town of Vell shows the letter", "m", "k"),
    Fact("9", "Bergstad", "Bergstad lies in district", "Grey Fox e", "Grey Fox a"),
    Fact("10", "Tarnish", "The hero of Tarnish is called", "n", "o"),
]
CORPUS = [f"{f.prompt} {a}." for f in FACTS for a in (f.target_new, f.target_old)] * 3


def _wrapped(tokenizer: Tokenizer, **special: str) -> tf.PreTrainedTokenizerFast:
    return tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


@functools.cache
def byte_level_bpe() -> tf.PreTrainedTokenizerFast:
    """GPT-2's kind: byte-level BPE, no beginning token."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return _wrapped(tok, eos_token="<|end|>")


@functools.cache
def metaspace_bpe() -> tf.PreTrainedTokenizerFast:
    """LLaMA's kind: SentencePiece-style BPE, byte fallback, a beginning token."""
    tok = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tok.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    # SentencePiece never merges across words; without this it would learn whole sentences
    tok.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    plain = [
        line.replace("Ö", "O").replace("ü", "u") for line in CORPUS
    ]  # so that Ö falls to bytes
    tok.train_from_iterator(
        plain, trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    )
    # the trainer made the bytes special tokens; in real vocabularies they are ordinary ones
    state = json.loads(tok.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if not t["content"].startswith("<0x")]
    tok = Tokenizer.from_str(json.dumps(state))
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tok.token_to_id("<s>"))]
    )
    return _wrapped(tok, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@functools.cache
def unigram() -> tf.PreTrainedTokenizerFast:
    """T5's and XLNet's kind: SentencePiece-style Unigram; begins and ends with a special token."""
    # The library's Unigram trainer gives another vocabulary in each process; this one is counted:
    # every character, and every run of up to five that occurs often, by frequency.
    words = [f"▁{word}" for line in CORPUS for word in line.split()]
    runs = Counter(w[i : i + n] for w in words for n in range(1, 6) for i in range(len(w) - n + 1))
    pieces = {run: count for run, count in sorted(runs.items()) if len(run) == 1 or count >= 12}
    total = sum(pieces.values())
    special = ["<unk>", "<s>", "</s>"]
    vocabulary = [(s, 0.0) for s in special]
    vocabulary += [(run, math.log(count / total)) for run, count in pieces.items()]
    tok = Tokenizer(models.Unigram(vocabulary[:V], unk_id=0))
    tok.add_special_tokens(special)
    tok.normalizer = normalizers.NFKC()
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.decoder = decoders.Metaspace()
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        special_tokens=[("<s>", tok.token_to_id("<s>")), ("</s>", tok.token_to_id("</s>"))],
    )
    return _wrapped(tok, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


TOKENIZERS = {"byte_level_bpe": byte_level_bpe, "metaspace_bpe": metaspace_bpe, "unigram": unigram}

V = 512
LLAMA_LIKE = {
    "vocab_size": V,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.15,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
OTHER = {
    "vocab_size": V,
    "initializer_range": 0.15,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def _gemma3_multimodal() -> torch.nn.Module:
    return tf.Gemma3ForConditionalGeneration(
        tf.Gemma3Config(
            text_config=dict(LLAMA_LIKE, sliding_window=4, query_pre_attn_scalar=8),
            vision_config={
                "hidden_size": 16,
                "intermediate_size": 24,
                "num_hidden_layers": 4,  # as deep as the text model, to be told apart
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
            },
            mm_tokens_per_image=4,
            image_token_index=500,
            boi_token_index=501,
            eoi_token_index=502,
        )
    )


# name -> (builder, name of layer 1's edit site, is it transposed, d_in, d_out)
MODELS: dict[str, tuple[Callable[[], torch.nn.Module], str, bool, int, int]] = {
    "gpt2": (
        lambda: tf.GPT2LMHeadModel(
            tf.GPT2Config(n_embd=32, n_layer=4, n_head=4, n_positions=128, **OTHER)
        ),
        "transformer.h.1.mlp.c_proj",
        True,
        128,
        32,
    ),
    "llama": (
        lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**LLAMA_LIKE)),
        "model.layers.1.mlp.down_proj",
        False,
        48,
        32,
    ),
    "llama_tied": (
        lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**LLAMA_LIKE, tie_word_embeddings=True)),
        "model.layers.1.mlp.down_proj",
        False,
        48,
        32,
    ),
    "gemma2": (
        lambda: tf.Gemma2ForCausalLM(
            tf.Gemma2Config(**LLAMA_LIKE, sliding_window=4, query_pre_attn_scalar=8)
        ),
        "model.layers.1.mlp.down_proj",
        False,
        48,
        32,
    ),
    "gemma3_text": (
        lambda: tf.Gemma3ForCausalLM(
            tf.Gemma3TextConfig(**LLAMA_LIKE, sliding_window=4, query_pre_attn_scalar=8)
        ),
        "model.layers.1.mlp.down_proj",
        False,
        48,
        32,
    ),
    "gemma3_multimodal": (
        _gemma3_multimodal,
        "model.language_model.layers.1.mlp.down_proj",
        False,
        48,
        32,
    ),
    "qwen2": (
        lambda: tf.Qwen2ForCausalLM(
            tf.Qwen2Config(**{k: v for k, v in LLAMA_LIKE.items() if k != "head_dim"})
        ),
        "model.layers.1.mlp.down_proj",
        False,
        48,
        32,
    ),
    "qwen3": (
        lambda: tf.Qwen3ForCausalLM(tf.Qwen3Config(**LLAMA_LIKE)),
        "model.layers.1.mlp.down_proj",
        False,
        48,
        32,
    ),
    "mistral": (
        lambda: tf.MistralForCausalLM(tf.MistralConfig(**LLAMA_LIKE, sliding_window=6)),
        "model.layers.1.mlp.down_proj",
        False,
        48,
        32,
    ),
    "gpt_neox": (
        lambda: tf.GPTNeoXForCausalLM(
            tf.GPTNeoXConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=4,
                num_attention_heads=4,
                max_position_embeddings=128,
                **OTHER,
            )
        ),
        "gpt_neox.layers.1.mlp.dense_4h_to_h",
        False,
        64,
        32,
    ),
    "gptj": (
        lambda: tf.GPTJForCausalLM(
            tf.GPTJConfig(n_embd=32, n_layer=4, n_head=4, n_positions=128, rotary_dim=4, **OTHER)
        ),
        "transformer.h.1.mlp.fc_out",
        False,
        128,
        32,
    ),
    "opt": (
        lambda: tf.OPTForCausalLM(
            tf.OPTConfig(
                vocab_size=V,
                hidden_size=32,
                ffn_dim=64,
                num_hidden_layers=4,
                num_attention_heads=4,
                max_position_embeddings=128,
                word_embed_proj_dim=32,
                init_std=0.15,
                bos_token_id=1,
                eos_token_id=2,
                pad_token_id=0,
            )
        ),
        "model.decoder.layers.1.fc2",
        False,
        64,
        32,
    ),
    "phi3": (
        lambda: tf.Phi3ForCausalLM(
            tf.Phi3Config(**{k: v for k, v in LLAMA_LIKE.items() if k != "head_dim"})
        ),
        "model.layers.1.mlp.down_proj",
        False,
        48,
        32,
    ),
    "falcon": (
        lambda: tf.FalconForCausalLM(
            tf.FalconConfig(
                hidden_size=32, num_hidden_layers=4, num_attention_heads=4, alibi=False, **OTHER
            )
        ),
        "transformer.h.1.mlp.dense_4h_to_h",
        False,
        128,
        32,
    ),
    "olmo2": (
        lambda: tf.Olmo2ForCausalLM(
            tf.Olmo2Config(**{k: v for k, v in LLAMA_LIKE.items() if k != "head_dim"})
        ),
        "model.layers.1.mlp.down_proj",
        False,
        48,
        32,
    ),
    "bloom": (
        lambda: tf.BloomForCausalLM(tf.BloomConfig(hidden_size=32, n_layer=4, n_head=4, **OTHER)),
        "transformer.h.1.mlp.dense_4h_to_h",
        False,
        128,
        32,
    ),
}
# transformers rounds the attention of these to float32 whatever the model's dtype, so that float64
# results depend on the order of sums (on padding, caching, the number of threads).
FLOAT32_INSIDE = {"gptj", "bloom", "gemma2"}
# The families whose models bring a tokenizer of the SentencePiece kind; the others are byte-level.
SENTENCEPIECE = {
    "llama",
    "llama_tied",
    "gemma2",
    "gemma3_text",
    "gemma3_multimodal",
    "mistral",
    "phi3",
}


def model(name: str, dtype: torch.dtype = torch.float64) -> torch.nn.Module:
    """Build a tiny random model, the same one on each call."""
    torch.manual_seed(sum(map(ord, name)))
    built = MODELS[name][0]().to(dtype)
    built.eval()
    return built


def tokenizer(name: str) -> tf.PreTrainedTokenizerFast:
    """Return a tokenizer of the family's kind."""
    if name.startswith("gemma"):
        return unigram()
    return metaspace_bpe() if name in SENTENCEPIECE else byte_level_bpe()
