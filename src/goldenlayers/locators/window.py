"""A window of neighbouring layers by a ranking, for editors that spread an edit over several."""

from __future__ import annotations

from collections.abc import Sequence

from goldenlayers.errors import SettingsError
from goldenlayers.locators.ranking import LayerRanking


def window_of(ranking: LayerRanking, width: int, deepest: int | None = None) -> tuple[int, ...]:
    """Return the window of a ranking: neighbouring layers, the golden one among them.

    Of all such windows it is the one with the greatest sum of scores. A layer that cannot be chosen
    (outside the fences, or not reached) counts as the worst of those that can. Ties, as of a method
    without scores, go to the window whose middle is nearest to the golden layer, then to the
    shallower. Windows of another kind are given as layers.

    Args:
        ranking: The ranking.
        width: How many layers.
        deepest: The last layer that is wanted, unless the golden one lies below it. The values of
            a window are trained behind its last layer, and a model's last layer cannot carry any:
            nothing reads what it writes at the subject.

    Returns:
        The layers, shallow first.

    Raises:
        SettingsError: If so many neighbours of the golden layer were not ranked.
    """
    scores = {
        s.layer: s.score for s in ranking.layers if s.rank is not None and s.score is not None
    }
    worst = min(scores.values(), default=0.0)
    ranked = {s.layer for s in ranking.layers}
    windows: list[Sequence[int]] = [
        range(start, start + width)
        for start in range(ranking.golden - width + 1, ranking.golden + 1)
        if ranked.issuperset(range(start, start + width))
    ]
    if deepest is not None:
        windows = [w for w in windows if w[-1] <= deepest] or windows
    if not windows:
        raise SettingsError(
            f"the ranking does not hold {width} neighbouring layers around the golden layer "
            f"{ranking.golden}; rank all layers, give a smaller window, or name the layers"
        )

    def worth(window: Sequence[int]) -> tuple[float, float, int]:
        middle = window[0] + (width - 1) / 2
        total = sum(scores.get(n, worst) for n in window)
        return total, -abs(middle - ranking.golden), -window[0]

    best: Sequence[int] = max(windows, key=worth)
    return tuple(best)


def window_in(ranking: LayerRanking, width: int, depth: int) -> tuple[int, ...]:
    """Return the layers that an editor of windows takes of a ranking.

    Of a method that has edited windows of this width itself, a layer is the last of one.

    Args:
        ranking: The ranking.
        width: How many layers the editor takes; of one, it is the golden layer.
        depth: Of the model, in layers.

    Returns:
        The layers, shallow first.

    Raises:
        SettingsError: If the ranking holds no such window.
    """
    if width == 1:
        return (ranking.golden,)
    if ranking.details.get("editor_window") == width:
        return tuple(range(max(0, ranking.golden - width + 1), ranking.golden + 1))
    return window_of(ranking, widest(width, depth), max(0, depth - 2))


def widest(width: int, depth: int) -> int:
    """Return how many layers a window has at most: a model's last layer carries no value."""
    return min(width, max(1, depth - 1))
