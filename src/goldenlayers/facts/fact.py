"""The record of one fact to be edited, the same for every source of facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


def _no_probes() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class LocalityProbe:
    """A prompt whose answer must not change when the fact is edited.

    Attributes:
        prompt: Text to be continued.
        answer: The true continuation, or None where the source names none (locality is measured as
            agreement before and after the edit, so the answer is information, not a target).
        aliases: Other true continuations.
    """

    prompt: str
    answer: str | None = None
    aliases: tuple[str, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Return the probe in golden-layers' own format; no aliases, no field for them."""
        record: dict[str, Any] = {"prompt": self.prompt, "answer": self.answer}
        return record | ({"aliases": list(self.aliases)} if self.aliases else {})


@dataclass(frozen=True, slots=True)
class PortabilityProbe:
    """A prompt whose answer follows from the new answer of the fact.

    Attributes:
        prompt: Text to be continued.
        answers: Accepted continuations, the first being the one that teacher-forced scores use.
    """

    prompt: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """One edit request: the model shall continue `prompt` with `target_new`.

    Texts are kept exactly as they stand in the source; `goldenlayers.models.text.join` is the one
    place where a prompt and an answer are put together.

    Attributes:
        id: Identifier in its source; unique within one set of facts.
        subject: What the fact is about; occurs in `prompt`, letter for letter.
        prompt: Text to be continued, Q in the paper.
        target_new: The answer wanted, K' in the paper.
        target_old: The answer so far, K in the paper; None where the source has none.
        aliases: Other accepted spellings of `target_new`.
        rephrase_prompts: Other wordings of `prompt`; they need not contain the subject's name.
        locality: Probes by kind.
        portability: Probes by kind.
        split: "proxy" (layers are chosen on it), "test" (choices are judged on it), or None.
    """

    id: str
    subject: str
    prompt: str
    target_new: str
    target_old: str | None = None
    aliases: tuple[str, ...] = ()
    rephrase_prompts: tuple[str, ...] = ()
    locality: Mapping[str, tuple[LocalityProbe, ...]] = field(default_factory=_no_probes)
    portability: Mapping[str, tuple[PortabilityProbe, ...]] = field(default_factory=_no_probes)
    split: str | None = None

    @property
    def changes(self) -> bool:
        """Whether the fact asks for a change: its new answer is not the old one.

        A source that names facts to be traced, not edited (ROME's known facts), gives facts whose
        two answers are the same.
        """
        return self.target_old is None or self.target_old.strip() != self.target_new.strip()

    def to_record(self) -> dict[str, Any]:
        """Return the fact in golden-layers' own format, ready for JSON."""
        return {
            "id": self.id,
            "subject": self.subject,
            "prompt": self.prompt,
            "target_new": self.target_new,
            "target_old": self.target_old,
            "aliases": list(self.aliases),
            "rephrase_prompts": list(self.rephrase_prompts),
            "locality": {
                kind: [p.to_record() for p in probes] for kind, probes in self.locality.items()
            },
            "portability": {
                kind: [{"prompt": p.prompt, "answers": list(p.answers)} for p in probes]
                for kind, probes in self.portability.items()
            },
            "split": self.split,
        }
