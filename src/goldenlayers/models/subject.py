"""Where a subject stands in a prompt: found by characters, never by counting tokens.

The subject's last token is the one in which its last character lies, whatever else that token
holds (a comma, an apostrophe), and however many tokens the tokenizer adds before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goldenlayers.errors import FactError, ModelError, SettingsError
from goldenlayers.models.text import Row, encode_texts, first_answer_token, written

OCCURRENCES = ("last", "first")


@dataclass(frozen=True, slots=True)
class SubjectRow(Row):
    """A row of token ids in which the subject's last token is known.

    Attributes:
        ids: All token ids.
        n_prompt: How many of them are prompt; equals len(ids) for a prompt without an answer.
        subject: Position of the subject's last token, less than `n_prompt`.
    """

    subject: int


def subject_rows(
    tokenizer: Any,
    prefixes: Sequence[str],
    prompt: str,
    subject: str,
    answer: str | None,
    *,
    occurrence: str = "last",
) -> list[SubjectRow]:
    """Tokenise prefix + prompt (+ answer), once per prefix.

    Args:
        tokenizer: A fast tokenizer of transformers, or a `ChatTokenizer`.
        prefixes: Texts put before the prompt, "" for the bare prompt; in a chat, inside the user's
            message.
        prompt: Contains the subject, letter for letter.
        subject: The subject.
        answer: What follows the prompt, see `goldenlayers.models.text.written`; None for a prompt
            alone.
        occurrence: Which occurrence counts where the prompt has several: "last" or "first". Those
            in a prefix or in a chat template's own text never count.

    Returns:
        One row per prefix.

    Raises:
        FactError: If the subject is not in the prompt, or a chat's message contains a special
            token's text.
        SettingsError: If `occurrence` is unknown.
        ModelError: If the tokenizer has no offsets or leaves nothing of a part.
    """
    wholes = [written(tokenizer, prompt, answer, prefix) for prefix in prefixes]
    # the subject's last character in each
    lasts = [w.start + subject_end(w.prompt, subject, occurrence) - 1 for w in wholes]
    ids, spans = encode_texts(tokenizer, [whole.text for whole in wholes])
    rows = []
    for whole, last, row_ids, row_spans in zip(wholes, lasts, ids, spans, strict=True):
        n = len(row_ids)
        if answer is not None:
            n = first_answer_token(whole.text, whole.before, row_spans)
        found = [i for i, (start, end) in enumerate(row_spans[:n]) if start <= last < end]
        if not found:
            raise ModelError(
                f"the tokenizer leaves no token of the subject {subject!r} in {whole.text!r}; "
                "is it the tokenizer of this model?"
            )
        # several where a character is spelled in bytes: the last of them completes it
        rows.append(SubjectRow(row_ids, n, found[-1]))
    return rows


def subject_end(prompt: str, subject: str, occurrence: str = "last") -> int:
    """Return the position after the subject's last character in the prompt.

    Occurrences as whole words come before those inside a longer word ("Ann" in "Ann met Anna").

    Raises:
        FactError: If the subject is not in the prompt.
        SettingsError: If `occurrence` is unknown.
    """
    if occurrence not in OCCURRENCES:
        raise SettingsError(f"occurrence {occurrence!r} is unknown; expected last or first")
    wanted = subject.strip()
    exact = [m.start() for m in re.finditer(f"(?={re.escape(wanted)})", prompt)] if wanted else []
    if not exact:
        raise FactError(
            f"the subject {subject!r} is not in the prompt {prompt!r}; it must stand there "
            "letter for letter"
        )
    words = [
        at
        for at in exact
        if not (at and _inside(prompt[at - 1], wanted[0]))
        and not _inside(wanted[-1], prompt[at + len(wanted) : at + len(wanted) + 1])
    ]
    found = words or exact
    return (found[-1] if occurrence == "last" else found[0]) + len(wanted)


def _inside(left: str, right: str) -> bool:
    """Whether two neighbouring characters belong to one word."""
    return (left.isalnum() or left == "_") and bool(right) and (right.isalnum() or right == "_")
