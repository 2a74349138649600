"""What a method's choice of a layer is where the editor takes a window.

A sweep names a window by its last layer. Methods that edit themselves choose in these terms; the
others rank single layers, and their choice is the window that `goldenlayers.edit` would take.
"""

from __future__ import annotations

from collections.abc import Sequence

from goldenlayers.errors import SettingsError
from goldenlayers.locators.base import Locator
from goldenlayers.locators.edits import EditSettings
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.locators.window import widest, window_in


def ranks_windows(locator: Locator) -> bool:
    """Whether a method ranks what the editor edits, for it makes the edits."""
    return isinstance(locator, EditSettings)


def chosen_by(ranking: LayerRanking, width: int, depth: int) -> int:
    """Return the last layer of the window that an editor takes of a ranking.

    Args:
        ranking: The ranking.
        width: How many layers are edited together; of one, it is the golden layer.
        depth: Of the model, in layers.

    Raises:
        SettingsError: If the ranking holds no such window; see `require_windows`.
    """
    return window_in(ranking, width, depth)[-1]


def require_windows(layers: Sequence[int], width: int, depth: int) -> None:
    """Refuse layers to choose among if one of them is in no window of them.

    Raises:
        SettingsError: If there is one.
    """
    width = widest(width, depth)
    for layer in layers:
        starts = range(layer - width + 1, layer + 1)
        if not any(set(layers).issuperset(range(n, n + width)) for n in starts):
            raise SettingsError(
                f"layers: {layer} is in no window of {width} of the layers to choose among, which "
                "a method that ranks single layers would need; name more layers, set window=1, or "
                "compare brute-force and verified alone"
            )
