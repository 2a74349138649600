"""Prompt and answer become token ids: the one place where texts are joined and spans are found.

Section 6 of the method: z = tokens of prompt + " " + answer, tokenised together; the answer's
tokens are those whose character span ends after the prompt. Counting the tokens of the bare prompt
instead is wrong wherever the tokenizer merges across the joint.

With a `goldenlayers.models.chat.ChatTokenizer`, z = tokens of what the chat template writes: the
prompt is the user's message, and the answer stands where the model's reply begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from goldenlayers.errors import ModelError
from goldenlayers.models.chat import ChatTokenizer, plain

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


@dataclass(frozen=True, slots=True)
class Written:
    """A text to be tokenised, and where its parts stand in it, in characters.

    Attributes:
        text: The whole text: all that a template or a prefix adds, the prompt, and the answer
            where there is one.
        start: First character of the prompt, after a prefix.
        end: The one after the prompt's last.
        before: The one after the last of all that comes before the answer; a space that leads to
            the answer is already the answer's. The length of `text` where there is no answer.
    """

    text: str
    start: int
    end: int
    before: int

    @property
    def prompt(self) -> str:
        """The prompt as it stands in the text."""
        return self.text[self.start : self.end]


def written(tokenizer: Any, prompt: str, answer: str | None, prefix: str = "") -> Written:
    """Write prefix, prompt and answer as the tokenizer's model is to read them.

    Args:
        tokenizer: A tokenizer of transformers, or a `ChatTokenizer`: the prefix and the prompt
            are then one message of the user.
        prompt: The prompt; see `joined` for what becomes of the whitespace at its ends. A message
            is stripped on both sides, as most templates do.
        answer: The answer, stripped; None for a prompt alone.
        prefix: Text put before the prompt, with what separates the two.

    Raises:
        FactError: If a message is blank or contains a special token's text.
    """
    if isinstance(tokenizer, ChatTokenizer):
        upto = tokenizer.head + tokenizer.message(prompt, prefix)
        whole = upto + tokenizer.opening
        text = whole if answer is None else upto + tokenizer.joint + answer.strip()
        return Written(text, len(upto) - len(prompt.strip()), len(upto), len(whole))
    text, prompt = joined(prompt, answer) if answer is not None else (prompt.rstrip(),) * 2
    end = len(prefix) + len(prompt)
    return Written(prefix + text, len(prefix), end, end)


def joined(prompt: str, answer: str) -> tuple[str, str]:
    """Return (text, prompt): the prompt stripped on the right, a space, the answer stripped."""
    prompt = prompt.rstrip()
    return f"{prompt} {answer.strip()}", prompt


def require_fast(tokenizer: Any) -> None:
    """Raise `ModelError` for a tokenizer without character offsets."""
    if not getattr(tokenizer, "is_fast", False):
        name = type(plain(tokenizer)).__name__
        raise ModelError(
            f"the tokenizer {name} is not a fast one, so it gives no character "
            "offsets; load it with AutoTokenizer.from_pretrained(..., use_fast=True), which needs "
            "a tokenizer.json or a convertible vocabulary in the model folder"
        )


def encode_pairs(tokenizer: Any, pairs: Sequence[tuple[str, str]]) -> list[Row]:
    """Tokenise (prompt, answer) pairs.

    Args:
        tokenizer: A fast tokenizer of transformers, or a `ChatTokenizer`.
        pairs: Texts; see `written` for what becomes of them.

    Returns:
        One row per pair.

    Raises:
        FactError: If a chat's message is blank or contains a special token's text.
        ModelError: If the tokenizer has no offsets or leaves nothing of an answer or a prompt.
    """
    require_fast(tokenizer)
    if not pairs:
        return []
    wholes = [written(tokenizer, prompt, answer) for prompt, answer in pairs]
    ids, spans = encode_texts(tokenizer, [whole.text for whole in wholes])
    return [
        Row(row_ids, first_answer_token(whole.text, whole.before, row_spans))
        for whole, row_ids, row_spans in zip(wholes, ids, spans, strict=True)
    ]


def first_answer_token(text: str, n_characters: int, spans: Sequence[Span]) -> int:
    """Return the position of the first token whose span ends after the prompt.

    Args:
        text: Prompt and answer, for the message.
        n_characters: Length of the prompt, with all that stands around it before the answer.
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
    return encode_texts(tokenizer, [written(tokenizer, p, None).text for p in prompts])[0]


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
        tokenizer: A fast tokenizer of transformers. A `ChatTokenizer` adds no token: the template
            has written the beginning token where it wants one.
        texts: At least one; of a `ChatTokenizer`, what `written` made.

    Returns:
        Token ids of each text, and the character span of each token ((0, 0) for added ones).

    Raises:
        ModelError: If the tokenizer has no offsets.
    """
    require_fast(tokenizer)
    encoded = tokenizer(
        list(texts),
        add_special_tokens=not isinstance(tokenizer, ChatTokenizer),
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
