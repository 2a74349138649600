"""Context templates: texts put before the prompt, so that an edit holds in more than one context.

Published (ROME, arXiv 2202.05262, section 3.1 and its code): the bare prompt, 10 prefixes of 5
tokens and 10 of 10 tokens that the model writes itself. They belong to a model, not to a fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goldenlayers.errors import SettingsError
from goldenlayers.models.chat import plain
from goldenlayers.models.guard import untouched
from goldenlayers.models.text import encode_prompts
from goldenlayers.passes.sampling import sample

KINDS = ("published", "short", "bare")
LENGTHS = ((5, 10), (10, 10))  # (tokens, how many), as published
STARTS = ("The", "Therefore", "Because", "I", "You")  # EasyEdit's; the first tokens of a prefix
TOP_K = 5
SHORT = ("", "In fact, ", "As we know, ")


@dataclass(frozen=True)
class Templates:
    """Prefixes of the prompt; the first one is always "", the bare prompt.

    Attributes:
        kind: "published", "short", "bare" or "own".
        prefixes: The texts, each with what separates it from the prompt.
        seed: Seed that they were sampled with; None where nothing was sampled.
    """

    kind: str
    prefixes: tuple[str, ...]
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.prefixes or self.prefixes[0] != "":
            raise SettingsError(
                "templates: the first prefix must be '' (the bare prompt), "
                f"found {list(self.prefixes[:1])}"
            )


def make_templates(
    model: Any,
    tokenizer: Any,
    kind: str | Sequence[str] | Templates = "short",
    *,
    seed: int = 0,
) -> Templates:
    """Return templates for a model.

    Args:
        model: A causal language model of transformers; returned as it came.
        tokenizer: Its fast tokenizer; prefixes are sampled as running text for a `ChatTokenizer`
            too, and stand inside the user's message later.
        kind: "published" (the model writes 20 prefixes), "short" (two fixed phrases), "bare" (the
            prompt alone), prefixes of your own (the bare prompt is added), or finished templates.
        seed: Seed of the sampling.

    Raises:
        SettingsError: If the kind is unknown.
    """
    if isinstance(kind, Templates):
        return kind
    if not isinstance(kind, str):
        own = list(kind) if isinstance(kind, Sequence) else [kind]
        if not own or not all(isinstance(prefix, str) for prefix in own):
            raise SettingsError(
                f"templates {kind!r}: expected one of {', '.join(KINDS)}, or a list of texts"
            )
        return Templates("own", ("", *dict.fromkeys(prefix for prefix in own if prefix)))
    if kind not in KINDS:
        raise SettingsError(f"templates {kind!r} are unknown; expected one of {', '.join(KINDS)}")
    if kind == "bare":
        return Templates(kind, ("",))
    if kind == "short":
        return Templates(kind, SHORT)
    # the model writes on from these: running text, not messages to it
    starts = encode_prompts(plain(tokenizer), STARTS)
    added = sum(1 for i in starts[0] if i in tokenizer.all_special_ids)  # a beginning token
    prefixes = [""]
    with untouched(model):
        for length, count in LENGTHS:
            asked = [starts[i % len(starts)] for i in range(count)]
            longest = length - min(len(s) - added for s in asked)
            written = sample(
                model,
                asked,
                max(1, longest),
                seed=seed * len(LENGTHS) + LENGTHS.index((length, count)),
                top_k=TOP_K,
                forbidden=tokenizer.all_special_ids,
            )
            prefixes += [
                _prefix(tokenizer, (start + tokens)[: length + added])
                for start, tokens in zip(asked, written, strict=True)
            ]
    return Templates(kind, tuple(prefixes), seed)


def _prefix(tokenizer: Any, ids: tuple[int, ...]) -> str:
    text = " ".join(tokenizer.decode(list(ids), skip_special_tokens=True).split())
    return f"{text}. "
