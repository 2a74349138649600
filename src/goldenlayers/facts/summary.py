"""What is in a source of facts, counted as the facts go by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from goldenlayers.facts.fact import Fact
from goldenlayers.facts.fact_set import BadRecord, Note
from goldenlayers.facts.hash_set import HashSet, text_hash

KEPT = 1000  # notes, and names of duplicates, that are kept; all are counted


@dataclass
class Kind:
    """Probes of one kind.

    Attributes:
        probes: How many.
        facts: How many facts have any.
        unanswered: How many probes name no answer.
    """

    probes: int = 0
    facts: int = 0
    unanswered: int = 0


@dataclass
class FactsSummary:
    """Counts of facts; holds no fact, and for each 32 to 64 bytes to find duplicates.

    Attributes:
        facts: How many.
        subjects: How many different subjects.
        splits: Facts by split, "none" for those that are not marked.
        old: Facts with an old answer.
        unchanged: Facts whose new answer is the old one: to be traced, not edited.
        aliases: Facts whose new answer has other spellings.
        rephrased: Facts with rephrasings.
        rephrasings: How many of those.
        locality: Probes by kind.
        portability: Probes by kind.
        bad: Records set aside.
        duplicates: Facts with the subject, prompt and new answer of an earlier one.
        conflicts: Facts with the prompt of an earlier one and another new answer.
        duplicate_ids: The first of both.
        notes: The first of what was left out of records.
        n_notes: How many there are.
    """

    facts: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    old: int = 0
    unchanged: int = 0
    aliases: int = 0
    rephrased: int = 0
    rephrasings: int = 0
    locality: dict[str, Kind] = field(default_factory=dict)
    portability: dict[str, Kind] = field(default_factory=dict)
    bad: list[BadRecord] = field(default_factory=list)
    duplicates: int = 0
    conflicts: int = 0
    duplicate_ids: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    n_notes: int = 0
    _subjects: HashSet = field(default_factory=HashSet)
    _prompts: HashSet = field(default_factory=HashSet)
    _said: HashSet = field(default_factory=HashSet)

    @property
    def subjects(self) -> int:
        """How many different subjects there are."""
        return len(self._subjects)

    def add(self, fact: Fact, notes: tuple[Note, ...] = ()) -> None:
        """Count a fact."""
        self.facts += 1
        self.splits[fact.split or "none"] += 1
        self.old += fact.target_old is not None
        self.unchanged += not fact.changes
        self.aliases += bool(fact.aliases)
        self.rephrased += bool(fact.rephrase_prompts)
        self.rephrasings += len(fact.rephrase_prompts)
        for name, near in fact.locality.items():
            _count(self.locality, name, len(near), sum(p.answer is None for p in near))
        for name, far in fact.portability.items():
            _count(self.portability, name, len(far), 0)
        self._subjects.add(text_hash(fact.subject))
        prompt = text_hash(fact.subject, fact.prompt)
        said = text_hash(fact.subject, fact.prompt, fact.target_new)
        new_prompt, new = self._prompts.add(prompt), self._said.add(said)
        self.duplicates += not new
        if not new_prompt:
            self.conflicts += new
            if len(self.duplicate_ids) < KEPT:
                self.duplicate_ids.append(fact.id)
        self.n_notes += len(notes)
        self.notes.extend(notes[: max(0, KEPT - len(self.notes))])

    def to_dict(self) -> dict[str, Any]:
        """Return the counts, ready for JSON."""
        return {
            "facts": self.facts,
            "subjects": self.subjects,
            "splits": dict(self.splits),
            "with_old_answer": self.old,
            "with_equal_answers": self.unchanged,
            "with_aliases": self.aliases,
            "with_rephrasings": self.rephrased,
            "rephrasings": self.rephrasings,
            "locality": _kinds(self.locality),
            "portability": _kinds(self.portability),
            "duplicates": self.duplicates,
            "conflicts": self.conflicts,
            "duplicate_ids": self.duplicate_ids,
            "bad_records": [
                {"line": b.line, "record": b.record, "reason": b.reason} for b in self.bad
            ],
            "notes": [{"id": n.id, "text": n.text} for n in self.notes],
            "notes_in_all": self.n_notes,
        }


def _count(kinds: dict[str, Kind], name: str, probes: int, unanswered: int) -> None:
    kind = kinds.setdefault(name, Kind())
    kind.probes += probes
    kind.facts += bool(probes)
    kind.unanswered += unanswered


def _kinds(kinds: Mapping[str, Kind]) -> dict[str, dict[str, int]]:
    return {
        name: {"probes": k.probes, "facts": k.facts, "unanswered": k.unanswered}
        for name, k in kinds.items()
    }
