"""Where the labels of points go, so that they hide neither points nor one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Side = Literal["right", "left", "top", "bottom"]
_SIDES: tuple[Side, ...] = ("right", "left", "top", "bottom")
_MOST = 0.4  # of a label's area that may hide something, or be outside
_Box = tuple[float, float, float, float]


def place(
    points: Sequence[tuple[float, float]], texts: Sequence[str], frame: _Box, size: float
) -> list[Side | None]:
    """Return a side for each label: the first of right, left, top, bottom that hides least.

    Where every side hides much the label is left out: what it says is in the table and over the
    mark, and a heap of letters says nothing.

    Args:
        points: Where the points are, in the unit of `size`, y upwards.
        texts: Their labels.
        frame: Left, bottom, right and top of what labels should not leave.
        size: Of the letters. Their width is guessed: 0.56 of it.

    Returns:
        One side per point, in order; None for a label that is left out.
    """
    marks: list[_Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    taken: list[_Box] = []
    sides: list[Side | None] = []
    for k, (point, text) in enumerate(zip(points, texts, strict=True)):
        others = [*marks[:k], *marks[k + 1 :], *taken]
        boxes = {side: _box(point, text, side, size) for side in _SIDES}
        # the cost is the area that is hidden, and what leaves the frame counts more
        side = min(_SIDES, key=lambda s: _cost(boxes[s], others, frame))
        left, bottom, right, top = boxes[side]
        if _cost(boxes[side], others, frame) > _MOST * (right - left) * (top - bottom):
            sides.append(None)
            continue
        sides.append(side)
        taken.append(boxes[side])
    return sides


def _box(point: tuple[float, float], text: str, side: Side, size: float) -> _Box:
    x, y = point
    wide, high, gap = 0.56 * size * len(text), 1.1 * size, 6.0
    if side == "right":
        return (x + gap, y - high / 2, x + gap + wide, y + high / 2)
    if side == "left":
        return (x - gap - wide, y - high / 2, x - gap, y + high / 2)
    if side == "top":
        return (x - wide / 2, y + gap, x + wide / 2, y + gap + high)
    return (x - wide / 2, y - gap - high, x + wide / 2, y - gap)


def _cost(box: _Box, others: Sequence[_Box], frame: _Box) -> float:
    area = (box[2] - box[0]) * (box[3] - box[1])
    return sum(_shared(box, other) for other in others) + 2 * (area - _shared(box, frame))


def _shared(a: _Box, b: _Box) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)
