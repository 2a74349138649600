"""The protocol of locators: facts in, `LayerRanking` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from goldenlayers.cluster.engine import Engine, Here
from goldenlayers.facts.fact import Fact
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.models.sites import EditSite
from goldenlayers.progress import Progress, Say, quiet, silent

if TYPE_CHECKING:
    from goldenlayers.sweep.engine import Sweep
    from goldenlayers.sweep.store import Store


@dataclass(frozen=True)
class Request:
    """What a locator is given.

    Attributes:
        model: A causal language model, frozen and in evaluation mode while the locator runs.
        tokenizer: Its fast tokenizer.
        facts: The facts to choose on; never the test facts.
        sites: Edit sites of the layers to choose among, shallow first.
        all_sites: Edit sites of every layer of the model.
        seed: Seed of everything random.
        progress: Called as the work goes on.
        say: Called with a line when something is worth knowing.
        store: File that keeps finished work, for a locator that edits; None keeps nothing.
        resume: Go on with what the file holds.
        cache: Keep the model's own old answers on disk, and take those that are there.
        opened: A sweep over the same sites and an open store, used instead of such a file.
        engine: Who does what can be parted by facts; None for this process.
    """

    model: Any
    tokenizer: Any
    facts: Sequence[Fact]
    sites: Sequence[EditSite]
    all_sites: Sequence[EditSite]
    seed: int = 0
    progress: Progress = silent
    say: Say = quiet
    store: Path | None = None
    resume: bool = False
    cache: bool = False
    opened: tuple[Sweep, Store] | None = None
    engine: Engine | None = None

    @property
    def at_work(self) -> Engine:
        """Who does the work."""
        return self.engine or Here(self.model, self.tokenizer)


class Locator(Protocol):
    """A way to choose a layer.

    Locators are frozen dataclasses: their fields are the settings, and are recorded with the
    result. `find` fills in what a locator cannot know (model, facts, versions, time).
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def rank(self, request: Request) -> LayerRanking:
        """Choose a layer; see `LayerRanking`."""
        ...
