"""What a comparison stands on: the layers, and the sweep that edits there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goldenlayers.cluster.engine import Engine
from goldenlayers.locators.edits import EditSettings
from goldenlayers.models.causal import require_causal
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import EditSite, choose_layers, find_sites
from goldenlayers.progress import Progress, Say, quiet, silent
from goldenlayers.sweep.engine import Sweep
from goldenlayers.sweep.run import prepared
from goldenlayers.sweep.windows import width_of


@dataclass(frozen=True)
class Ground:
    """Everything that is settled before the first edit.

    Attributes:
        all_sites: Edit sites of every layer of the model.
        sites: Those of the layers to choose among.
        sweep: Edits a fact at all of these.
        kind: What identifies its outcomes beside the facts, ready for JSON.
    """

    all_sites: tuple[EditSite, ...]
    sites: tuple[EditSite, ...]
    sweep: Sweep
    kind: dict[str, Any]

    @property
    def numbers(self) -> list[int]:
        """Numbers of the layers to choose among."""
        return [s.layer for s in self.sites]

    @property
    def width(self) -> int:
        """How many layers the editor edits together."""
        return width_of(self.sweep.editor)


def ground_of(
    model: Any,
    tokenizer: Any,
    editing: EditSettings,
    *,
    layers: str | Sequence[int] | None = None,
    site: str | None = None,
    seed: int = 0,
    say: Say = quiet,
    progress: Progress = silent,
    engine: Engine | None = None,
) -> Ground:
    """Settle what a comparison stands on; the arguments are those of `goldenlayers.compare`.

    Raises:
        SettingsError: If a setting is out of range.
        SiteError: If the edit sites cannot be found.
        ModelError: If the model is not causal, or its logits are not finite.
    """
    all_sites = find_sites(model, site)
    sites = choose_layers(all_sites, layers)
    with untouched(model):
        require_causal(model, finite=True)
    sweep, kind = prepared(
        model, tokenizer, sites, editing.editor, all_sites=all_sites,
        templates=editing.templates, covariance=editing.covariance,
        settings=editing.editor_settings, batch_tokens=editing.batch_tokens,
        plain=editing.plain, seed=seed, say=say, progress=progress, engine=engine,
    )  # fmt: skip
    return Ground(tuple(all_sites), tuple(sites), sweep, kind)
