"""`Covariances`: the second moments of a model's keys, by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldenlayers.covariance.estimate import Estimate
from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.covariance.store import load_moment


@dataclass(frozen=True, eq=False)
class Covariances(Mapping[int, KeyMoment]):
    """Second moments by layer; those on disk are read, and checked, each time they are asked for.

    Attributes:
        keys_by_layer: The key of each layer's second moment, shallow first.
        folder: Where they lie, or None if they are in memory alone.
        held: Second moments that are in memory.
        computed: Layers that were computed now; the others were on disk.
        estimate: What the computation was expected to cost, or None if there was none.
        seconds: Wall time of the call.

    Example:
        >>> covariances = goldenlayers.key_covariance(model, tokenizer, layers=[4, 8])
        >>> u = covariances[8].solver().solve(k)
    """

    keys_by_layer: Mapping[int, Mapping[str, Any]]
    folder: Path | None
    held: Mapping[int, KeyMoment] = field(default_factory=dict, repr=False)
    computed: tuple[int, ...] = ()
    estimate: Estimate | None = None
    seconds: float = 0.0

    def __getitem__(self, layer: int) -> KeyMoment:
        """Return the second moment of one layer.

        Raises:
            KeyError: If the layer was not asked for.
            ResultError: If its file is gone or damaged by now.
        """
        key = self.keys_by_layer[layer]
        if layer in self.held or self.folder is None:
            return self.held[layer]
        return load_moment(self.folder, key)

    def __iter__(self) -> Iterator[int]:
        return iter(self.keys_by_layer)

    def __len__(self) -> int:
        return len(self.keys_by_layer)
