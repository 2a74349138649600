"""The models that the paper times, by their published configurations, with random weights.

Nothing is fetched: the configurations are written out, the weights are drawn on the device, and the
tokenizer has one token for each of its words, so that a fact has as many tokens as it shall have.
Random weights stand in for speed and memory, never for quality.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from goldenlayers.editors.templates import SHORT
from goldenlayers.facts import Fact

ANSWER = 2  # tokens of each answer
SUBJECT = 3  # tokens of each subject
NAMES = {"gpt2-xl": "GPT-2 XL", "llama2-7b": "LLaMA2-7B", "gemma3-12b": "Gemma3-12B"}


def gpt2_xl(scale: float) -> Any:
    """openai-community/gpt2-xl: 48 layers of 1,600, 25 heads."""
    heads = _part(25, scale)
    return tf.GPT2Config(
        vocab_size=_part(50257, scale), n_positions=1024, n_embd=64 * heads, n_head=heads,
        n_layer=_part(48, scale), bos_token_id=1, eos_token_id=1,
    )  # fmt: skip


def llama2_7b(scale: float) -> Any:
    """meta-llama/Llama-2-7b-hf: 32 layers of 4,096, an MLP of 11,008, 32 heads."""
    heads = _part(32, scale)
    return tf.LlamaConfig(
        vocab_size=_part(32000, scale), hidden_size=128 * heads,
        intermediate_size=344 * heads, num_hidden_layers=_part(32, scale),
        num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=4096,
        rms_norm_eps=1e-5, tie_word_embeddings=False, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip


def gemma3_12b(scale: float) -> Any:
    """google/gemma-3-12b, its text model: 48 layers of 3,840, an MLP of 15,360, 16 heads of 256."""
    pairs = _part(8, scale)  # of heads: one for keys and values, two for queries
    return tf.Gemma3TextConfig(
        vocab_size=_part(262208, scale), hidden_size=480 * pairs, intermediate_size=1920 * pairs,
        num_hidden_layers=_part(48, scale), num_attention_heads=2 * pairs,
        num_key_value_heads=pairs, head_dim=256, query_pre_attn_scalar=256, sliding_window=1024,
        max_position_embeddings=131072, tie_word_embeddings=True, pad_token_id=0, bos_token_id=1,
        eos_token_id=1,
    )  # fmt: skip


# configuration, class, and the dtype that the weights were published in
SHAPES: dict[str, tuple[Callable[[float], Any], str, torch.dtype]] = {
    "gpt2-xl": (gpt2_xl, "GPT2LMHeadModel", torch.float32),
    "llama2-7b": (llama2_7b, "LlamaForCausalLM", torch.bfloat16),
    "gemma3-12b": (gemma3_12b, "Gemma3ForCausalLM", torch.bfloat16),
}


@dataclass
class PaperCase:
    """A model of random weights, ready to be run; `bench.shapes.Case` with what it is beside."""

    name: str
    model: Any
    tokenizer: Any
    facts: list[Fact]
    scale: float


def build(
    shape: str, scale: float, device: torch.device, dtype: torch.dtype | None, seed: int = 0
) -> PaperCase:
    """Make a model of random weights on the device, in evaluation mode, without facts yet.

    Args:
        shape: One of `SHAPES`.
        scale: Share of heads (so of the width), layers and vocabulary; 1 for the published model.
        device: Where the weights are drawn: the host never holds them.
        dtype: None for the one that the weights were published in on a GPU, float32 on the CPU.
        seed: Of the weights.
    """
    config_of, architecture, published = SHAPES[shape]
    if dtype is None:
        dtype = published if device.type == "cuda" else torch.float32
    torch.manual_seed(seed)
    kept = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = getattr(tf, architecture)(config_of(scale)).eval()
    finally:
        torch.set_default_dtype(kept)
    name = NAMES[shape] if scale == 1 else f"{NAMES[shape]} at {scale:g}"
    return PaperCase(name, model, word_tokenizer(model), [], scale)


def word_tokenizer(model: Any) -> Any:
    """Return a fast tokenizer with one token for each word: "w0", "w1", ... and a few real ones."""
    size = min(4000, model.get_input_embeddings().num_embeddings)
    real = dict.fromkeys(w for text in (*SHORT, "is a") for w in text.replace(",", " ,").split())
    words = ["<unk>", "<end>", *real]
    words += [f"w{i}" for i in range(size - len(words))]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece(prefix="##")  # words apart
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<end>"
    )


def facts_of(case: PaperCase, count: int, tokens: int, seed: int = 0) -> list[Fact]:
    """Return facts whose rows, prompt and answer, have exactly so many tokens.

    The subject ends in the middle of the prompt. Each has a rephrasing and a question whose answer
    must stay, so that a sweep has what it scores.
    """
    if tokens < ANSWER + SUBJECT + 2:
        raise SystemExit(f"{tokens} tokens: expected {ANSWER + SUBJECT + 2} or more")
    words = [w for w in case.tokenizer.get_vocab() if w.startswith("w") and w[1:].isdigit()]
    words.sort(key=lambda w: int(w[1:]))
    draw = random.Random(f"{seed}:{tokens}")
    length = tokens - ANSWER
    facts = []
    for i in range(count):
        drawn = draw.sample(words, 2 * length + 2 * ANSWER)
        prompt, other = drawn[:length], drawn[length : 2 * length]
        old, new = drawn[-2 * ANSWER : -ANSWER], drawn[-ANSWER:]
        start = (length - SUBJECT) // 2
        subject = prompt[start : start + SUBJECT]
        rephrased = [*other[:start], *subject, *other[start + SUBJECT :]]
        facts.append(
            Fact(
                str(i), " ".join(subject), " ".join(prompt), " ".join(new), " ".join(old),
                rephrase_prompts=(" ".join(rephrased),),
                locality={"other": (_probe(" ".join(other), " ".join(old)),)},
            )
        )  # fmt: skip
    return facts


def _probe(prompt: str, answer: str) -> Any:
    from goldenlayers.facts.fact import LocalityProbe

    return LocalityProbe(prompt, answer)


def _part(whole: int, scale: float) -> int:
    return max(2, round(whole * scale)) if scale < 1 else whole
