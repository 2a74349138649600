"""Chat-tuned models are asked through their chat template: a prompt is the user's message.

A template is a program that comes with the tokenizer. It is run here on made-up words, to learn
what it writes around a message; texts are then put together from those parts, so that the place of
every character is known. What the template adds by itself (a default system prompt) stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from goldenlayers.errors import FactError, ModelError

# Words that no template writes, and ordinary ones to see whether it treats those alike.
MADE_UP = ("zqUserTextqz", "zqModelTextqz")
ORDINARY = ("The capital of France is", "Paris")
_WHAT_TO_DO = "leave out --chat (prompts are then running text), or use another chat-tuned model"


@dataclass(frozen=True, eq=False)
class ChatTokenizer:
    """A fast tokenizer whose prompts are messages of a user; made by `chat_tokenizer`.

    Attributes and calls are those of the wrapped tokenizer, so a call encodes plain text.
    `goldenlayers.models.text` and `goldenlayers.models.subject` recognise it and write prompts as
    the template does.

    Attributes:
        wrapped: The tokenizer itself.
        head: What the template writes before the user's text.
        joint: What it writes between the user's text and an answer.
        opening: What stands after the user's text where no answer follows: `joint` without the
            spaces at its end, since a space belongs to the answer's first token.
        template: The template.
        special: Texts of the special tokens, which a message may not contain; longest first.
    """

    wrapped: Any
    head: str
    joint: str
    opening: str
    template: str = field(repr=False)
    special: tuple[str, ...] = field(repr=False)

    def __getattr__(self, name: str) -> Any:
        # reached for what the class lacks; "wrapped" itself is missing while a copy is being made
        if name == "wrapped" or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.wrapped, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the wrapped tokenizer: the texts are encoded as they are, not as messages."""
        return self.wrapped(*args, **kwargs)

    def __len__(self) -> int:
        """Return the size of the vocabulary, added tokens included."""
        return len(self.wrapped)

    @property
    def rendering_sha256(self) -> str:
        """SHA-256 of what stands around a message, in hexadecimal.

        Not of the template: one that writes today's date gives other prompts tomorrow.
        """
        around = json.dumps([self.head, self.joint])
        return hashlib.sha256(around.encode()).hexdigest()

    def message(self, prompt: str, prefix: str = "") -> str:
        """Return the user's message: the prefix and the prompt, stripped as templates strip it.

        Args:
            prompt: The prompt; whitespace at its ends is left out.
            prefix: Text put before it, with what separates the two.

        Raises:
            FactError: If the prompt is blank, or the message contains a special token's text.
        """
        if not prompt.strip():
            raise FactError(f"the prompt {prompt!r} is blank; expected text for the user's message")
        text = (prefix + prompt.strip()).lstrip()
        found = next((token for token in self.special if token in text), None)
        if found is not None:
            raise FactError(
                f"the user's message {text!r} contains {found!r}, which is a special token of the "
                "tokenizer and would end or break the message; expected ordinary text: write the "
                "prompt without it, or leave out the chat template"
            )
        return text


def plain(tokenizer: Any) -> Any:
    """Return the tokenizer for text that is no message: the wrapped one, or the argument itself."""
    return tokenizer.wrapped if isinstance(tokenizer, ChatTokenizer) else tokenizer


def chat_setting(tokenizer: Any) -> dict[str, str]:
    """Return the setting "chat" for the record of a result; nothing without a chat template."""
    if isinstance(tokenizer, ChatTokenizer):
        return {"chat": tokenizer.rendering_sha256}
    return {}


def chat_tokenizer(tokenizer: Any) -> ChatTokenizer:
    """Wrap a tokenizer so that prompts are written through its chat template.

    Where the template takes an assistant's message, what it writes before that is the joint: it
    holds all that a reply starts with (an empty think block, say), and prompts end in it with and
    without an answer. Otherwise the joint is the template's generation prompt.

    Args:
        tokenizer: A fast tokenizer of transformers with a chat template; of several templates,
            the one named "default" counts.

    Returns:
        The wrapper; pass it wherever golden-layers takes a tokenizer.

    Raises:
        ModelError: If there is no chat template, it fails, or it does not write the user's text
            as it is, once.

    Example:
        >>> edit = goldenlayers.edit(model, chat_tokenizer(tokenizer), fact, layer=8)
    """
    if isinstance(tokenizer, ChatTokenizer):
        return tokenizer
    template = _template(tokenizer)
    head, joint, takes_answers = _parts(tokenizer)
    question, answer = ORDINARY
    asked, replied = _asked(tokenizer, question), _replied(tokenizer, question, answer)
    expected = head + question + joint
    fits = asked.startswith(head + question) and (
        (replied or "").startswith(expected + answer) if takes_answers else asked == expected
    )
    if not fits:
        raise ModelError(
            f"the chat template writes other text around {question!r} than around {MADE_UP[0]!r}: "
            f"found {(replied if takes_answers and replied else asked)!r}, expected {expected!r}; "
            + _WHAT_TO_DO
        )
    return ChatTokenizer(
        wrapped=tokenizer,
        head=head,
        joint=joint,
        opening=_opening(tokenizer, head + question, joint),
        template=template,
        special=_special(tokenizer),
    )


def _template(tokenizer: Any) -> str:
    name = type(tokenizer).__name__
    if not getattr(tokenizer, "chat_template", None):
        raise ModelError(
            f"the tokenizer {name} has no chat template, expected one in the model folder "
            "(chat_template.jinja or tokenizer_config.json); leave out --chat, or use a "
            "chat-tuned model"
        )
    try:
        return str(tokenizer.get_chat_template())
    except ValueError as error:  # several, and none of them is the default one
        raise ModelError(
            f"the tokenizer {name} has the chat templates {sorted(tokenizer.chat_template)}, "
            f"expected one named 'default'; {_WHAT_TO_DO}"
        ) from error


def _parts(tokenizer: Any) -> tuple[str, str, bool]:
    """Return head and joint, and whether the template takes an assistant's message."""
    user, model = MADE_UP
    whole = _replied(tokenizer, user, model)
    takes_answers = whole is not None and whole.count(model) == 1
    if whole is None or not takes_answers:
        whole = _asked(tokenizer, user)
    if whole.count(user) != 1 or (takes_answers and whole.index(model) < whole.index(user)):
        raise ModelError(
            f"the chat template writes the user's text {whole.count(user)} times as it is, "
            f"expected once, before the answer: {user!r} gave {whole!r}; {_WHAT_TO_DO}"
        )
    head, rest = whole.split(user)
    return head, rest.split(model)[0], takes_answers


def _asked(tokenizer: Any, question: str) -> str:
    """Render a question up to where the model replies."""
    return _rendered(tokenizer, [{"role": "user", "content": question}], True)


def _replied(tokenizer: Any, question: str, answer: str) -> str | None:
    """Render a question with its answer; None where the template takes no answer."""
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    try:
        return _rendered(tokenizer, messages, False)
    except ModelError:
        return None


def _rendered(tokenizer: Any, messages: Sequence[dict[str, str]], generate: bool) -> str:
    try:
        text = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=generate
        )
    except Exception as error:  # a template is a program, and may raise anything
        raise ModelError(
            f"the chat template cannot be rendered: {type(error).__name__}: {error}; {_WHAT_TO_DO}"
        ) from error
    return str(text)


def _opening(tokenizer: Any, before: str, joint: str) -> str:
    """Return the joint as it stands where no answer follows."""
    trimmed = joint.rstrip(" ")
    # A token that swallows spaces, as some special ones do, holds them with and without an answer;
    # it ends after them, and must not count as the answer's.
    whole, short = (
        tokenizer(before + end, add_special_tokens=False, verbose=False)["input_ids"]
        for end in (joint, trimmed)
    )
    return joint if whole == short else trimmed


def _special(tokenizer: Any) -> tuple[str, ...]:
    texts = {str(token) for token in tokenizer.all_special_tokens}
    texts |= {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
    return tuple(sorted(filter(None, texts), key=lambda text: (-len(text), text)))
