"""`FactSet`: facts with where they come from, and the subsets that a study takes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, overload

from goldenlayers.errors import FactError, SettingsError
from goldenlayers.facts import subsets
from goldenlayers.facts.fact import Fact
from goldenlayers.facts.validate import SPLITS


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that was set aside.

    Attributes:
        line: Line in the file where it begins, counted from 1; of a data set without lines, the
            number of the row, from 1.
        reason: One sentence that names the field.
        record: Number of the record in the file, counted from 0; None if it is not known.
    """

    line: int
    reason: str
    record: int | None = field(default=None, compare=False)  # the line says it again


@dataclass(frozen=True, slots=True)
class Note:
    """What was left out of a record, or read otherwise than it stands there.

    Attributes:
        id: Identifier of the fact.
        text: One sentence.
    """

    id: str
    text: str


@dataclass(frozen=True)
class FactSet(Sequence[Fact]):
    """Facts with their origin; behaves as a sequence of `Fact`.

    Attributes:
        facts: The facts, in the order of the file.
        source: Path or name that the facts were read from.
        sha256: Hex digest of the file's bytes; of a data set of the hub, of its facts; None for
            facts in memory.
        bad: Records set aside.
        format: Name of the format, see `goldenlayers.facts.formats`; None for facts in memory.
        notes: What was left out of the facts' records.
        unused: Fields that the format does not read, with the number of records that have them.
        selection: What was done to choose these facts of all, in order, such as "half a".
    """

    facts: tuple[Fact, ...]
    source: str = "memory"
    sha256: str | None = None
    bad: tuple[BadRecord, ...] = field(default=())
    format: str | None = None
    notes: tuple[Note, ...] = field(default=())
    unused: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    selection: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.facts)

    @overload
    def __getitem__(self, index: int) -> Fact: ...
    @overload
    def __getitem__(self, index: slice) -> FactSet: ...
    def __getitem__(self, index: int | slice) -> Fact | FactSet:
        if isinstance(index, slice):
            return replace(self, facts=self.facts[index])
        return self.facts[index]

    def origin(self) -> dict[str, Any]:
        """Return where the facts come from and how they were chosen, ready for JSON."""
        return {
            "source": self.source,
            "sha256": self.sha256,
            "format": self.format,
            "selection": list(self.selection),
        }

    def split(self, name: str) -> FactSet:
        """Return the facts of one split.

        Args:
            name: "proxy", "test", "all", or "auto": the proxy facts where the file marks any
                (layers must be chosen without sight of the test facts), else all.

        Raises:
            SettingsError: If the name is unknown.
            FactError: If the split has no facts.
        """
        if name not in (*SPLITS, "all", "auto"):
            raise SettingsError(f"split '{name}' is unknown; expected proxy, test, all or auto")
        if name == "auto":
            name = "proxy" if any(f.split == "proxy" for f in self.facts) else "all"
        if name == "all":
            return self
        chosen = tuple(f for f in self.facts if f.split == name)
        if not chosen:
            raise FactError(
                f"{self.source}: none of the {len(self.facts)} facts is in split '{name}'; "
                "mark facts with it in the field 'split', take --split proxy=0.1 to mark a tenth, "
                "or choose --split all"
            )
        return replace(self, facts=chosen)

    def half(self, name: str) -> FactSet:
        """Return one of two fixed halves; see `goldenlayers.facts.subsets.half_of`.

        Args:
            name: "a" or "b".

        Raises:
            SettingsError: If the name is unknown.
            FactError: If no fact is in that half.
        """
        wanted = subsets.check_half(name)
        return self._chosen(
            [f for f in self.facts if subsets.half_of(f) == wanted], f"half {wanted}"
        )

    def sample(self, size: int, seed: int = 0) -> FactSet:
        """Return so many facts, drawn without regard to their order, in the order of the file.

        The draw depends on the facts' texts and the seed alone: the same facts in another order, or
        in another file format, give the same sample, and a larger sample holds the smaller one.

        Raises:
            SettingsError: If the size or the seed is out of range.
            FactError: If there are fewer facts.
        """
        subsets.check_sample(size, seed)
        if size > len(self.facts):
            raise FactError(
                f"{self.source}: a sample of {size} facts was asked for and there are "
                f"{len(self.facts)}; ask for fewer"
            )
        kept = set(subsets.sample_order(self.facts, seed)[:size])
        return self._chosen(
            [f for i, f in enumerate(self.facts) if i in kept], f"sample of {size}, seed {seed}"
        )

    def marked(self, proxy: float, seed: int = 0) -> FactSet:
        """Mark a share of the facts as proxy and the others as test, whatever they were marked as.

        Facts about one subject are on one side.

        Args:
            proxy: Share between 0 and 1; from 1 on, the number of facts. The proxy has at least so
                many: it is filled subject by subject.
            seed: Of the draw.

        Raises:
            SettingsError: If a number is out of range.
            FactError: If one side would be empty.
        """
        chosen = subsets.proxy_of(self.facts, proxy, seed)
        if not 0 < len(chosen) < len(self.facts):
            raise FactError(
                f"{self.source}: {len(self.facts)} facts cannot be parted into proxy and test with "
                f"proxy={proxy:g}: {len(chosen)} would be proxy, for facts of one subject stay "
                "together; both need one at least"
            )
        marked = [
            replace(f, split="proxy" if i in chosen else "test") for i, f in enumerate(self.facts)
        ]
        return self._chosen(marked, f"proxy={proxy:g}, seed {seed}")

    def _chosen(self, facts: Sequence[Fact], how: str) -> FactSet:
        if not facts:
            raise FactError(f"{self.source}: none of the {len(self.facts)} facts is in {how}")
        return replace(self, facts=tuple(facts), selection=(*self.selection, how))
