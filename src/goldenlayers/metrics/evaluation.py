"""`Evaluation`: the scores of a list of facts before and after an edit, with standard errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from goldenlayers.errors import FactError, SettingsError
from goldenlayers.metrics.counterfact import harmonic_mean
from goldenlayers.metrics.questions import SkippedProbe
from goldenlayers.metrics.replies import mean
from goldenlayers.metrics.scores import COUNTERFACT, MEAN_OF, NAMES, OF_SUBTYPES, split_name


@dataclass(frozen=True, slots=True)
class FactScores:
    """The scores of one fact; see `goldenlayers.metrics.scores` for the names.

    Attributes:
        id: The fact's identifier.
        scores: After the edit; None where the fact has no probe for a score.
        before: Of the unedited model.
        kinds: Scores after the edit of each kind of locality and portability that the fact has, by
            score and the record's own name for the kind: "locality/Relation_Specificity".
        kinds_before: Of the unedited model.
    """

    id: str
    scores: Mapping[str, float | None]
    before: Mapping[str, float | None]
    kinds: Mapping[str, float] = field(default_factory=dict)
    kinds_before: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Scores of a list of facts.

    Attributes:
        facts: Scores by fact.
        outputs: One record per probe, see `goldenlayers.metrics.outputs`.
        skipped: Probes that were left out, with the reason.
        settings: Every setting that had a say.
        versions: Package versions.
        seconds: Wall time by stage: "before", "after".
    """

    facts: tuple[FactScores, ...]
    outputs: tuple[Mapping[str, Any], ...] = ()
    skipped: tuple[SkippedProbe, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Evaluation({len(self.facts)} facts, mean of {', '.join(self.members) or 'none'})"

    @property
    def members(self) -> tuple[str, ...]:
        """Scores that "mean" is the mean of: those of its four that any of the facts has.

        Means of different members are never to be compared.
        """
        return tuple(name for name in MEAN_OF if self.count(name))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Names of the scores by kind that any of the facts has: "locality/Relation_Specificity".

        By score, then in the order in which the facts have them. `mean`, `standard_error` and
        `count` take them like the names of the scores; facts that lack the kind are left out.
        """
        found = dict.fromkeys(
            name for fact in self.facts for name in (*fact.kinds, *fact.kinds_before)
        )
        return tuple(n for score in OF_SUBTYPES for n in found if split_name(n)[0] == score)

    def count(self, name: str) -> int:
        """Return how many facts have a score; for "counterfact_score", have any of its three."""
        names = COUNTERFACT if name == "counterfact_score" else (name,)
        return sum(
            any(v is not None for v in row) for row in zip(*map(self._values, names), strict=True)
        )

    def mean(self, name: str, *, before: bool = False) -> float | None:
        """Return the mean of a score over the facts that have it; None if no fact has it.

        "mean" is the unweighted mean of its members' means (`members`), "counterfact_score" the
        harmonic mean of the means of efficacy, paraphrase and neighbourhood, None if one is
        missing.

        Args:
            name: One of `goldenlayers.metrics.scores.NAMES`, or of `kinds`.
            before: Of the unedited model, instead of the edited one.

        Raises:
            SettingsError: If the name is unknown.
        """
        if name == "mean":
            return mean(self.mean(member, before=before) for member in self.members)
        if name == "counterfact_score":
            return harmonic_mean([self.mean(part, before=before) for part in COUNTERFACT])
        return mean(self._values(name, before=before))

    def standard_error(self, name: str, *, before: bool = False) -> float | None:
        """Return the standard error of `mean(name)` as an estimate for the facts' population.

        sd (ddof = 1) / sqrt(n) over the n facts that have the score. "mean" and "counterfact_score"
        are functions of several means over the same facts: theirs is the standard error of the
        linearised function (delta method), for "mean" over complete facts exactly that of the
        facts' own means.

        Returns:
            None with fewer than 2 facts, and for a counterfact_score of 0.

        Raises:
            SettingsError: If the name is unknown.
        """
        if name == "mean":
            parts = self.members
            return self._linear(dict.fromkeys(parts, 1 / max(1, len(parts))), before=before)
        if name == "counterfact_score":
            score = self.mean(name, before=before)
            if not score:
                return None
            # d/dm of the harmonic mean H of three is H^2 / (3 m^2)
            means = {part: self.mean(part, before=before) or 0.0 for part in COUNTERFACT}
            slopes = {part: score**2 / (3 * m**2) for part, m in means.items()}
            return self._linear(slopes, before=before)
        values = [v for v in self._values(name, before=before) if v is not None]
        n = len(values)
        if n < 2:
            return None
        centre = sum(values) / n
        return math.sqrt(sum((v - centre) ** 2 for v in values) / (n - 1) / n)

    def summary(self) -> dict[str, Any]:
        """Return means and standard errors by score, and by kind, ready for JSON."""
        return {
            "facts": len(self.facts),
            "mean_of": list(self.members),
            "skipped_probes": len(self.skipped),
            "scores": {name: self._summary_of(name) for name in NAMES},
            "kinds": {name: self._summary_of(name) for name in self.kinds},
        }

    @classmethod
    def join(cls, parts: Iterable[Evaluation]) -> Evaluation:
        """Put evaluations of different facts together, in order.

        Raises:
            FactError: If a fact is in two of them.
            SettingsError: If there are none, or their settings differ.
        """
        parts = list(parts)
        if not parts:
            raise SettingsError("no evaluations to join")
        for part in parts[1:]:
            if dict(part.settings) != dict(parts[0].settings):
                raise SettingsError(
                    "evaluations with different settings cannot be joined: "
                    f"{dict(parts[0].settings)} and {dict(part.settings)}"
                )
        facts = tuple(fact for part in parts for fact in part.facts)
        seen: set[str] = set()
        for fact in facts:
            if fact.id in seen:
                raise FactError(f"fact {fact.id!r} is in two of the evaluations to be joined")
            seen.add(fact.id)
        seconds: dict[str, float] = {}
        for part in parts:
            for stage, value in part.seconds.items():
                seconds[stage] = seconds.get(stage, 0.0) + value
        return cls(
            facts,
            tuple(output for part in parts for output in part.outputs),
            tuple(skip for part in parts for skip in part.skipped),
            parts[0].settings,
            parts[0].versions,
            seconds,
        )

    def save(self, folder: str | Path) -> list[Path]:
        """Write evaluation.json, scores.csv and outputs.jsonl into a folder; return their paths.

        Each file is put in place whole; nothing is left half-written.

        Raises:
            ResultError: If the folder cannot be written.
        """
        from goldenlayers.metrics.evaluation_files import save

        return save(self, folder)

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read an evaluation that `save` wrote.

        Args:
            path: The folder, or the evaluation.json in it.

        Raises:
            ResultError: If the files are missing, damaged or of another format.
        """
        from goldenlayers.metrics.evaluation_files import load

        return load(path)

    def _summary_of(self, name: str) -> dict[str, float | int | None]:
        return {
            "before": self.mean(name, before=True),
            "before_standard_error": self.standard_error(name, before=True),
            "after": self.mean(name),
            "standard_error": self.standard_error(name),
            "facts": self.count(name),
        }

    def _values(self, name: str, *, before: bool = False) -> Sequence[float | None]:
        if name in self.kinds:
            return [(f.kinds_before if before else f.kinds).get(name) for f in self.facts]
        if name not in NAMES:
            expected = ", ".join((*NAMES, *self.kinds))
            raise SettingsError(f"score {name!r} is unknown; expected one of {expected}")
        return [(fact.before if before else fact.scores).get(name) for fact in self.facts]

    def _linear(self, slopes: Mapping[str, float], *, before: bool) -> float | None:
        """Return the standard error of sum over names of slope * mean, facts being the sample.

        A fact moves the sum by z = sum over the names that it has of slope * (N / n) * (its score -
        the mean), with n of N facts having the score; the error is sd(z) / sqrt(N), mean of z = 0.
        """
        columns = {name: self._values(name, before=before) for name in slopes}
        shifts: list[list[float]] = [[] for _ in self.facts]
        for name, values in columns.items():
            known = [v for v in values if v is not None]
            if len(known) < 2:
                return None
            centre = sum(known) / len(known)
            for shift, value in zip(shifts, values, strict=True):
                if value is not None:
                    shift.append(slopes[name] / len(known) * (value - centre))
        sums = [sum(shift) for shift in shifts if shift]  # z / N
        n = len(sums)
        if n < 2:
            return None
        return math.sqrt(n / (n - 1) * sum(z**2 for z in sums))
