"""`Edit`: what every editor returns, as factors that can be mailed, applied and taken off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from goldenlayers.editors import ledger
from goldenlayers.editors.base import Base, comparable
from goldenlayers.editors.outcome import Outcome, Step
from goldenlayers.editors.revert import Reverted, revert
from goldenlayers.editors.update import Update
from goldenlayers.editors.weights import edited, exchange, updates_applied, weight_of
from goldenlayers.errors import EditError, GoldenLayersError

__all__ = ["Edit", "Outcome", "Reverted", "Step", "Update"]


@dataclass(frozen=True)
class Edit:
    """One or more facts edited into a model, as low-rank factors.

    >>> with edit.applied(model):  # edited in here, bit for bit as before afterwards
    ...     generate(model)
    >>> edit.apply(model)  # edited from now on
    >>> edit.revert(model)  # and back
    >>> edit.save("paris.safetensors")
    >>> edit = Edit.load("paris.safetensors")

    Attributes:
        editor: Name of the editor, such as "r-rome".
        updates: One per edit site that is changed; the factors of all facts side by side, in order.
        outcomes: One per fact, in the order in which they were edited.
        settings: Every setting that had a say.
        base: Which model it belongs on.
        versions: Package versions.
        seconds: Wall time by stage.
    """

    editor: str
    updates: tuple[Update, ...]
    outcomes: tuple[Outcome, ...]
    settings: Mapping[str, Any]
    base: Base
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [update.name for update in self.updates]
        if len(set(names)) < len(names):
            raise EditError(
                f"the edit has several updates for one site ({', '.join(names)}); "
                "expected one per site, with the factors side by side"
            )

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that are changed, shallow first."""
        return tuple(sorted({update.layer for update in self.updates}))

    @property
    def rank(self) -> int:
        """The greatest number of factors at one site: the rank of a LoRA that holds the edit."""
        return max((update.rank for update in self.updates), default=0)

    @property
    def norms(self) -> dict[str, float]:
        """Frobenius norm of dW by site, from the factors alone."""
        return {update.name: update.norm for update in self.updates}

    def __repr__(self) -> str:
        facts = f"{len(self.outcomes)} fact{'' if len(self.outcomes) == 1 else 's'}"
        if not self.updates:
            return f"<Edit by {self.editor}: {facts}, nothing is changed, on {self.base.title}>"
        where = ", ".join(map(str, self.layers))
        norms = ", ".join(f"{norm:.3g}" for norm in self.norms.values())
        return (
            f"<Edit by {self.editor}: {facts} at layer{'' if len(self.layers) == 1 else 's'} "
            f"{where}, rank {self.rank}, |dW| {norms}, on {self.base.title}>"
        )

    @contextmanager
    def applied(self, model: Any, check: bool = True, earlier: Edit | None = None) -> Iterator[Any]:
        """Hold `model` edited while open; bit for bit as before on leaving, exception or not.

        Args:
            model: The base model of the edit.
            check: Refuse a model that is not the base (a second per GB of edited weights).
            earlier: Edits at other sites that are on `model`, which need not have been on the base.
                Those that were applied in this process are known without.

        Yields:
            `model`.

        Raises:
            EditError: If the model is not the base, or the edited weight would not be finite.
            SiteError: If `check` is off and the weights have other shapes.
        """
        if check:
            self._check(model, earlier)
        with updates_applied(model, self.updates):
            if check:
                for update in self.updates:
                    self._require_finite(update, weight_of(model, update.name))
            yield model

    def apply(
        self, model: Any, check: bool = True, keep: bool = True, earlier: Edit | None = None
    ) -> None:
        """Edit `model` in place: all sites, or none if one of them fails.

        Args:
            model: The base model of the edit.
            check: Refuse a model that is not the base, or that has this edit already.
            keep: Keep the tensors from before as long as the model lives, so that `revert` is
                exact without the base model; costs the memory of the edited weights.
            earlier: As for `applied`.

        Raises:
            EditError: If the model is not the base, or the edited weight would not be finite.
            SiteError: If `check` is off and the weights have other shapes.
        """
        if check:
            self._check(model, earlier)
        pairs, entries = [], {}
        for update in self.updates:
            weight = weight_of(model, update.name)
            new = edited(weight, update)
            self._require_finite(update, new)
            pairs.append((weight, new))
            if keep:
                entries[update.name] = ledger.after_putting_on(model, update, new)
        exchange(pairs)
        for update in self.updates:
            ledger.forget(model, update.name)
        ledger.record(model, entries)

    def revert(self, model: Any, base: Any | None = None, check: bool = True) -> Reverted:
        """Take the edit off `model`, in place: all sites, or none if one of them fails.

        Exact, bit for bit, if the edit was applied to this very model in this process and nobody
        else has changed its weights since (edits that came later stay on), or if the base is given
        in the model's dtype and proved by its hash. Otherwise within a stated tolerance: by the
        numbers of a base that only a sample speaks for, or by subtracting the factors, in float32
        or wider.

        Args:
            model: The edited model.
            base: The model that the edit was made on; only the weights that the edit changes are
                compared and used.
            check: Refuse a model whose weights are not base plus edit. Without, the factors are
                subtracted from whatever is there.

        Returns:
            Whether it was exact, and if not, the tolerance.

        Raises:
            EditError: If the edit is not on the model, or `base` is not its base.
            SiteError: If the model has no such weights.
        """
        self.require_fingerprints()
        roundings = max(4, len(self.outcomes) + 2)
        return revert(self.updates, self.base, model, base, check=check, roundings=roundings)

    @staticmethod
    def compose(edits: Iterable[Edit]) -> Edit:
        """Put edits together: the factors of each site side by side, ranks add up.

        The edits have the same base, or each was made on a model with the ones before it; which,
        is told by the fingerprints of the weights that they share. Their models must agree in
        every parameter that the earlier edits do not change.

        Edits of the same base were computed apart: their updates are added, nothing is optimised
        again, so each can disturb what the others changed. The composed edit is rounded once where
        edits that are applied one after another round each time, so that the two agree within
        rounding, not bit for bit.

        Args:
            edits: One or more, in the order in which they were made.

        Returns:
            One edit on the base of the first.

        Raises:
            EditError: If the edits do not belong together.
        """
        from goldenlayers.editors.compose import compose

        return compose(edits)

    def save(
        self,
        path: str | Path,
        format: str = "delta",
        *,
        model: Any | None = None,
        tokenizer: Any | None = None,
        overwrite: bool = False,
        earlier: Edit | None = None,
    ) -> list[Path]:
        """Write the edit, whole or not at all.

        Args:
            path: A file for "delta", a new folder for the others.
            format: "delta": one safetensors file with the factors, the facts, the settings and the
                base's fingerprints. "adapter": a LoRA adapter of exactly the edit's rank, as `peft`
                reads it; its logits are those of the edited model within 1e-4 in float32. In half
                precision they differ by several units in their last place, because there the edited
                weight is rounded and an adapter is not, until it is merged. "model": the whole
                edited model, as transformers reads it. All three can be read by `Edit.load`.
            model: The base model, for "model"; it comes back bit for bit as it was.
            tokenizer: Its tokenizer, to be saved with it.
            overwrite: Replace a folder that golden-layers wrote (a delta file is always replaced).
            earlier: For "model": the edits that `model` carries already, to be recorded with it.

        Returns:
            The files that were written.

        Raises:
            EditError: If the edit cannot be written like that, or `model` is not its base.
            ResultError: If the place cannot be written.
            SettingsError: If `format` is unknown.
        """
        from goldenlayers.editors.files.save import save

        return save(self, Path(path), format, model, tokenizer, overwrite, earlier)

    @classmethod
    def load(cls, path: str | Path) -> Edit:
        """Read what `save` wrote: a delta file, an adapter folder or a model folder.

        Nothing in the file is run, and everything is checked: somebody else's edit is data.

        Raises:
            ResultError: If it is missing, damaged or of another format.
        """
        from goldenlayers.editors.files.load import load

        return load(Path(path))

    def require_fingerprints(self) -> None:
        """Refuse an edit that cannot tell its base.

        Raises:
            EditError: If a weight that it changes has no fingerprint.
        """
        for update in self.updates:
            if update.name not in self.base.weights:
                raise EditError(
                    f"the edit does not say which weight of {update.name!r} it was made on; "
                    "expected a fingerprint of each, see goldenlayers.editors.base.base_of"
                )

    def _check(self, model: Any, earlier: Edit | None = None) -> None:
        self.require_fingerprints()
        for update in self.updates:
            try:
                on = ledger.carries(model, update)
            except GoldenLayersError:
                on = False  # what is wrong with the model, the base says better
            if on:
                raise EditError(
                    f"this edit is on the model already (at {update.name!r}); it is applied once"
                )

        def before(parameter: str) -> str | None:
            site = parameter.removesuffix(".weight")
            if earlier is None or site not in earlier.base.weights:
                return ledger.before(model, parameter)
            known = earlier.base.weights[site]
            if not comparable([known.dtype, *(w.dtype for w in self.base.weights.values())]):
                return self.base.others.get(parameter)  # cannot be told
            return known.short

        self.base.check(model, before)

    def _require_finite(self, update: Update, new: torch.Tensor) -> None:
        if not torch.isfinite(new).all():
            raise EditError(
                f"with the edit, the weight of {update.name!r} would hold numbers that are not "
                f"finite in {new.dtype}; load the model in a wider dtype"
            )
