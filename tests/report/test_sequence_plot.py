"""The picture of a sequence: what is drawn, also of odd numbers."""

from __future__ import annotations

import math

import pytest

from goldenlayers.report.sequence_plot import MARKERS, SHARES, plot_sequences
from goldenlayers.study.milestone import EditSequence, Milestone


def sequence(editor, growth, score=0.5, fluency=6.0, edits=(0, 10, 20), error=0.04):
    scores = dict.fromkeys([*SHARES, "mean"], score) | ({"fluency": fluency} if fluency else {})
    errors = dict.fromkeys(scores, error)
    milestones = [
        Milestone(
            n,
            scores | {"perplexity": 20.0 * growth(n)},
            growth(n),
            0.1,
            n - n // 10,
            errors,
            2.5 * n,
        )
        for n in edits
    ]
    return EditSequence(editor, (4,), tuple(milestones), ())


def gentle(n):
    return 1 + n / 100


def test_lines():
    two = [sequence("r-rome", gentle), sequence("rome", lambda n: 1.0 + 9 * n, score=0.25)]
    figure = plot_sequences(two)
    assert len(figure.axes) == 8
    for axis in figure.axes[:4]:
        assert [list(line.get_xdata()) for line in axis.get_lines()] == [[0, 10, 20]] * 2
        assert [list(line.get_ydata()) for line in axis.get_lines()] == [[50] * 3, [25] * 3]
        assert len(axis.collections) == 2  # bands
    assert list(figure.axes[4].get_lines()[0].get_ydata()) == [6.0] * 3
    assert list(figure.axes[5].get_lines()[1].get_ydata()) == [20.0, 1820.0, 3620.0]
    assert list(figure.axes[6].get_lines()[1].get_ydata()) == [1.0, 91.0, 181.0]
    assert list(figure.axes[7].get_lines()[1].get_ydata()) == [2.5, 2.5]  # none of no edits
    for axis in (5, 6):
        assert figure.axes[axis].get_yscale() == "log"
        assert plot_sequences(two[:1]).axes[axis].get_yscale() == "linear"
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == [f"{name}, layer 4 (18 of 20 edits took)" for name in ("r-rome", "rome")]


def test_lines_that_coincide_are_all_seen():
    figure = plot_sequences([sequence("r-rome", gentle), sequence("rome", gentle)])
    below, above = figure.axes[0].get_lines()
    assert below.get_linewidth() > above.get_linewidth() + 1
    assert below.get_markersize() > above.get_markersize() + 1
    assert (below.get_linestyle(), above.get_linestyle()) == ("-", "--")
    assert below.get_marker() != above.get_marker()
    assert below.get_color() != above.get_color()


@pytest.mark.parametrize("fluency", [None, 6.0])
@pytest.mark.parametrize("growth", [gentle, lambda n: math.inf, lambda n: 10.0**n, lambda n: 2.0])
def test_odd_numbers(growth, fluency, tmp_path):
    many = [sequence(str(k), growth, fluency=fluency) for k in range(len(MARKERS) + 1)]
    short = sequence("short", growth, fluency=fluency, edits=(0,), error=None)
    figure = plot_sequences([*many, short], tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 10_000
    said = [text.get_text() for axis in figure.axes for text in axis.texts]
    # fluency; perplexity and the weights' growth
    assert said == ["not measured"] * ((not fluency) + 2 * math.isinf(growth(0)))


def test_nothing_runs_into_its_neighbour(tmp_path):
    figure = plot_sequences(
        [sequence("r-rome", gentle), sequence("rome", lambda n: 1.0 + 50 * n)], tmp_path / "p.png"
    )
    boxes = [axis.get_tightbbox() for axis in figure.axes]
    boxes.append(figure.legends[0].get_window_extent())
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])
        assert one.x0 >= 0
        assert one.x1 <= figure.bbox.x1
