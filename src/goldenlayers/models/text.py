"""Prompt and answer become token ids: the one place where texts are joined and spans are found.

Section 6 of the method: z = tokens of prompt + " " + answer, tokenised together; the answer's
tokens are those whose character span ends after the prompt. Counting the tokens of the bare prompt
instead is wrong wherever the tokenizer merges across the joint.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from goldenlayers.errors import ModelError

# Where a token stands in its text: first character, and the one after its last.
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt with its answer, in token ids.

    Attributes:
        ids: All token ids, beginning token included where the tokenizer adds one.
        n_prompt: How many of them are prompt; `ids[n_prompt:]` is the answer, never empty.
    """

    ids: tuple[int, ...]
    n_prompt: int

    @property
    def answer(self) -> tuple[int, ...]:
        """Token ids of the answer."""
        return self.ids[self.n_prompt :]


def joined(prompt: str, answer: str) -> tuple[str, str]:
    """Return (text, prompt): the prompt stripped on the right, a space, the answer stripped."""
    prompt = prompt.rstrip()
    return f"{prompt} {answer.strip()}", prompt


def require_fast(tokenizer: Any) -> None:
    """Raise `ModelError` for a tokenizer without character offsets."""
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"the tokenizer {type(tokenizer).__name__} is not a fast one, so it gives no character "
            "offsets; load it with AutoTokenizer.from_pretrained(..., use_fast=True), which needs "
            "a tokenizer.json or a convertible vocabulary in the model folder"
        )


def encode_pairs(tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[Row]:
    """Tokenise (prompt, answer) pairs.

    Args:
        tokenizer: A fast tokenizer of transformers.
        pairs: Texts; see `joined` for what becomes of the whitespace at their ends.

    Returns:
        One row per pair.

    Raises:
        ModelError: If the tokenizer has no offsets or leaves nothing of an answer or a prompt.
    """
    require_fast(tokenizer)
    if not pairs:
        return []
    texts, prompts = zip(*(joined(p, a) for p, a in pairs), strict=True)
    ids, spans = encode_texts(tokenizer, texts)
    return [
        Row(row_ids, first_answer_token(text, len(prompt), row_spans))
        for text, prompt, row_ids, row_spans in zip(texts, prompts, ids, spans, strict=True)
    ]


def first_answer_token(text: str, n_characters: int, spans: Sequence[Span]) -> int:
    """Return the position of the first token whose span ends after the prompt.

    Args:
        text: Prompt and answer, for the message.
        n_characters: Length of the prompt.
        spans: Character span of each token of `text`.

    Raises:
        ModelError: If no token of the prompt or of the answer is left.
    """
    first = next((i for i, (_, end) in enumerate(spans) if end > n_characters), len(spans))
    if not 0 < first < len(spans):
        part = "prompt" if first == 0 else "answer"
        raise ModelError(
            f"the tokenizer leaves no token of the {part} in {text!r}; "
            "is it the tokenizer of this model?"
        )
    return first


def encode_prompts(tokenizer: Any, prompts: Sequence[str]) -> list[tuple[int, ...]]:
    """Tokenise prompts alone, stripped on the right, as they stand before an answer."""
    require_fast(tokenizer)
    if not prompts:
        return []
    return encode_texts(tokenizer, [p.rstrip() for p in prompts])[0]


def require_vocabulary(model: Any, rows: Iterable[Sequence[int]]) -> None:
    """Raise `ModelError` if a token id lies beyond the model's vocabulary."""
    size = model.get_input_embeddings().num_embeddings
    largest = max((max(row) for row in rows if row), default=0)
    if largest >= size:
        raise ModelError(
            f"the tokenizer gives token {largest}, the model has a vocabulary of {size}; "
            "is it the tokenizer of this model?"
        )


def encode_texts(
    tokenizer: Any, texts: Sequence[str]
) -> tuple[list[tuple[int, ...]], list[tuple[Span, ...]]]:
    """Tokenise texts as they are; end tokens that the tokenizer adds are cut.

    Args:
        tokenizer: A fast tokenizer of transformers.
        texts: At least one.

    Returns:
        Token ids of each text, and the character span of each token ((0, 0) for added ones).

    Raises:
        ModelError: If the tokenizer has no offsets.
    """
    require_fast(tokenizer)
    encoded = tokenizer(
        list(texts),
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        verbose=False,  # the length is checked against the model, not against the tokenizer's guess
    )
    all_ids, all_spans = [], []
    for ids, offsets, special in zip(
        encoded["input_ids"],
        encoded["offset_mapping"],
        encoded["special_tokens_mask"],
        strict=True,
    ):
        n = len(ids)
        while n and special[n - 1] and offsets[n - 1][0] == offsets[n - 1][1]:
            n -= 1
        all_ids.append(tuple(ids[:n]))
        all_spans.append(tuple((start, end) for start, end in offsets[:n]))
    return all_ids, all_spans
