"""What a check of a model found, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from goldenlayers.results import put_together, require_own, strict, write_json

FORMAT, FORMAT_VERSION, JSON_NAME = "golden-layers conformance", 1, "conformance.json"
HOLDS, FALLS_BACK, FAILS, SKIPPED = "holds", "falls back", "fails", "skipped"


@dataclass(frozen=True)
class Found:
    """What one check saw.

    Attributes:
        status: "holds"; "falls back": a slower way is taken, and its result is right; "fails": a
            result is wrong, or could not be had; "skipped": it cannot be looked at.
        detail: One sentence: what was measured, or why.
        error: Largest deviation from the slow reference, relative; None where none is measured.
        tolerance: What the error may be.
    """

    status: str
    detail: str
    error: float | None = None
    tolerance: float | None = None


@dataclass(frozen=True)
class Check:
    """One row of the table.

    Attributes:
        name: Of the check.
        what: What is compared with what.
        found: What it saw.
        seconds: Wall time.
    """

    name: str
    what: str
    found: Found
    seconds: float


@dataclass(frozen=True)
class Conformance:
    """Everything that was checked on one model.

    Attributes:
        checks: The rows, in order.
        model: Identity of the model.
        settings: What was looked at: layers, facts, dtype.
        versions: Package versions.
    """

    checks: tuple[Check, ...]
    model: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing fails."""
        return all(c.found.status != FAILS for c in self.checks)

    def __getitem__(self, name: str) -> Found:
        """Return what the check of that name saw."""
        return next(c.found for c in self.checks if c.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        data: dict[str, Any] = strict(
            {"format": FORMAT, "format_version": FORMAT_VERSION, "ok": self.ok, **asdict(self)}
        )
        return data

    def save(self, folder: str | Path) -> list[Path]:
        """Write conformance.json into a folder; return its path.

        Raises:
            ResultError: If the folder cannot be written, or holds something else of that name.
        """
        folder = Path(folder)
        require_own(folder / JSON_NAME, FORMAT)
        with put_together(folder) as stage:
            write_json(stage / JSON_NAME, self.to_dict())
        return [folder / JSON_NAME]
