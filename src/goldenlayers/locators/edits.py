"""What the locators that make real edits share: how the edits are made, kept and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from goldenlayers.covariance.texts import check_text
from goldenlayers.editors.protocol import Editor
from goldenlayers.editors.run import make_editor
from goldenlayers.editors.templates import KINDS
from goldenlayers.errors import SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.locators.base import Request
from goldenlayers.locators.fences import Floats
from goldenlayers.locators.ranked import winners
from goldenlayers.locators.stability import RESAMPLES
from goldenlayers.metrics.scores import MEAN_OF
from goldenlayers.passes.batch_tokens import require_bound
from goldenlayers.sweep.engine import Sweep
from goldenlayers.sweep.objective import LayerScores, check
from goldenlayers.sweep.outcome import LayerOutcome
from goldenlayers.sweep.run import prepared, store_for
from goldenlayers.sweep.store import Store


@dataclass(frozen=True)
class EditSettings:
    """How edits are made, and by what a layer is judged.

    Where the editor takes a window, a layer stands for the window that ends there, and so does the
    layer that is chosen (`goldenlayers.sweep.windows`).

    Attributes:
        objective: "mean" (of those among rewrite, rephrase, locality and portability that the facts
            have), "harmonic" (their harmonic mean), or one of them.
        editor: Name of the editor, or an editor with its settings. Those that train a value (ROME,
            MEMIT and their kin) are swept in the growing batch, any other one by one.
        templates: Kind of the context templates: "short", "published" or "bare".
        covariance: "none", or the text that the keys' covariance is taken over.
        editor_settings: Settings of the editor, by name.
        batch_tokens: Bound on the tokens that are run together, a matter of memory and speed alone;
            None to choose, see `goldenlayers.passes.batch_tokens`.
        plain: Edit one fact at one layer after another, in the whole model.
    """

    objective: str = "mean"
    editor: str | Editor = "r-rome"
    templates: str = "short"
    covariance: str = "none"
    editor_settings: Mapping[str, Any] = field(default_factory=dict)
    batch_tokens: int | None = None
    plain: bool = False

    def __post_init__(self) -> None:
        check(self.objective)
        if isinstance(self.editor, str):
            make_editor(self.editor, **self.editor_settings)
        elif self.editor_settings:
            raise SettingsError("editor_settings: expected none beside an editor that has its own")
        if self.templates not in KINDS:
            raise SettingsError(
                f"templates {self.templates!r} is unknown; expected one of {', '.join(KINDS)}"
            )
        check_text(self.covariance)
        require_bound(self.batch_tokens)

    @contextmanager
    def opened(self, request: Request) -> Iterator[tuple[Sweep, Store]]:
        """Yield the sweep over the request's layers and the store of what it has made.

        The store is opened only after everything that can be refused was looked at.
        """
        if request.opened is not None:
            yield request.opened
            return
        sweep, identity = prepared(
            request.model, request.tokenizer, request.sites, self.editor,
            all_sites=request.all_sites, templates=self.templates, covariance=self.covariance,
            settings=self.editor_settings, batch_tokens=self.batch_tokens, plain=self.plain,
            seed=request.seed, say=request.say, progress=request.progress,
            engine=request.engine,
        )  # fmt: skip
        sweep.check(request.facts)
        with store_for(request.store, identity, request.facts, request.resume) as store:
            yield sweep, store


def stability(scores: LayerScores, objective: str, seed: int) -> Floats | None:
    """Return the share of resamples of the facts that each layer wins, (L,); None for one fact."""
    n = len(scores.facts)
    if n < 2:
        return None
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)  # (R, N)
    return winners(scores.by_layer(objective, counts))


def made_of(scores: LayerScores, objective: str) -> str:
    """Say what an objective is for these facts: "mean of rewrite and rephrase"."""
    names = scores.members(objective)
    if objective not in ("mean", "harmonic"):
        return objective
    kind = "mean" if objective == "mean" else "harmonic mean"
    return f"{kind} of {_listed(names)}" if len(names) > 1 else f"{names[0]} alone"


def means_of(scores: LayerScores) -> dict[str, Floats]:
    """Return each single score's mean by layer, (L,), of the scores that the facts have."""
    return {name: scores.means(name) for name in MEAN_OF if not np.isnan(scores.values[name]).all()}


def how(outcomes: Sequence[LayerOutcome]) -> dict[str, int]:
    """Count how the edits were computed."""
    return dict(Counter(o.computed for o in outcomes))


def complete(facts: Sequence[Fact], layers: Sequence[int], store: Store) -> list[Fact]:
    """Return the facts that were edited at all the layers."""
    return [f for f in facts if all((f.id, n) in store.outcomes for n in layers)]


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
