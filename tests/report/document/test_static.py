"""Pictures by matplotlib."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from goldenlayers.report.document.plots import Axis, Bars, Heat, Lines, Scatter, Series
from goldenlayers.report.document.static import draw_static
from goldenlayers.report.plot import GOLD
from tests.report.document import samples
from tests.report.document.samples import EVIL

PLOTS = {
    "bars": samples.bars, "grouped": samples.grouped, "two axes": samples.two_axes,
    "lines": samples.lines, "scatter": samples.scatter, "heat": samples.heat,
    "panels": lambda: samples.heat(6, True),
}  # fmt: skip
X, Y = Axis("x"), Axis("y")
EDGES = {
    "nothing": Lines((), X, Y),
    "no bars": Bars((), X, Y),
    "an empty series": Scatter((Series("a", (), ()),), X, Y),
    "nothing but None": Bars((Series("a", (1, 2), (None, None)),), X, Y),
    "one point": Lines((Series("a", (3,), (0.0,), (None,), ("label",)),), X, Y),
    "one bar": Bars((Series("a", (3,), (2,), (0.1,), ("label",)),), X, Y),
    "not finite": Lines((Series("a", (1, 2, 3), (float("nan"), float("inf"), 1)),), X, Y),
    "logs of zeros": Lines((Series("a", (0, 1, 10), (0, 0, 5), (1, 1, 9)),), Axis("x", log=True),
                           Axis("y", log=True)),
    "only zeros": Scatter((Series("a", (0,), (0,)),), Axis("x", log=True), Axis("y", log=True)),
    "bars of a log axis": Bars((Series("a", ("p", "q"), (0, 5)),), X, Axis("y", log=True)),
    "very long names": Bars(
        tuple(Series(EVIL * 20 + str(i), tuple(f"{EVIL * 9}{k}" for k in range(12)), (1,) * 12,
                     labels=(EVIL * 9,) * 12) for i in range(7)), Axis(EVIL * 9), Axis(EVIL * 9)),
    "long labels": Scatter((Series("a", (1, 1, 1), (1, 1, 1), labels=(EVIL,) * 3),), X, Y),
    "no rows": Heat((), ("a", "b"), ()),
    "no columns": Heat(("a",), (), ((),)),
    "one cell": Heat(("a",), ("b",), ((0.5,),), frozenset({(0, 0)}), frozenset({(0, 0)})),
    "cells of None": Heat(("a",), (EVIL, "c"), ((None, None),)),
    "an empty panel": Heat(("a",), ("b",), ((1,),), panels=(("none", 0), ("one", 1))),
}  # fmt: skip


@pytest.mark.parametrize("name", [*PLOTS, *EDGES])
def test_the_same_plot_gives_the_same_bytes(name, tmp_path, recwarn):
    make = PLOTS.get(name, lambda: EDGES[name])
    for suffix in ("png", "svg"):
        paths = [tmp_path / f"{i}.{suffix}" for i in range(2)]
        for path in paths:
            draw_static(make(), f"{name} {EVIL}", path)
        first, second = (path.read_bytes() for path in paths)
        assert first == second
        assert len(first) > 2000
    assert not [w for w in recwarn if "Glyph" not in str(w.message)]


def test_png_has_150_dots_per_inch_and_no_date(tmp_path):
    draw_static(samples.lines(), "a", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        assert "Software" not in picture.info
    draw_static(samples.lines(), "a", tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert "<dc:date>" not in text
    assert "matplotlib.org/" not in text.split("<defs>")[1]


def test_no_text_is_a_formula():
    figure = draw_static(samples.bars(), "$x^2$ and $\\frac$")
    assert figure.get_suptitle() == "\\$x^2\\$ and \\$\\frac\\$"
    figure.canvas.draw()  # a formula that is none would fail here


def test_bars_show_the_golden_layer_and_what_was_chosen():
    figure = draw_static(samples.bars(), "a")
    (axes,) = figure.axes
    colours = [to_hex(bar.get_facecolor()).upper() for bar in axes.patches]
    assert colours.count(GOLD) == 1
    assert colours.index(GOLD) == 9
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "rewrite", "locality", "golden layer", "chosen",
    ]  # fmt: skip
    assert axes.get_ylim() == (0.0, 100.0)


def test_a_second_axis_stands_at_the_right():
    left, right = draw_static(samples.two_axes(), "a").axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("regret, points", "seconds")
    assert right.get_yscale() == "log"
    assert right.lines[0].get_linestyle() == "None"  # nothing is between names


def test_zeros_on_a_logarithmic_axis_are_told():
    (axes,) = draw_static(samples.scatter(), "a").axes
    assert "not on a logarithmic axis: 1 at or below zero" in {t.get_text() for t in axes.texts}
    (axes,) = draw_static(EDGES["nothing but None"], "a").axes
    assert "no values" in {t.get_text() for t in axes.texts}


def test_heat_panels_share_one_scale_and_carry_marks():
    heat = samples.heat(6, True)
    left, right, bar = draw_static(heat, "a").axes
    assert left.images[0].get_clim() == right.images[0].get_clim()
    assert left.get_title(loc="left") == "SmolLM2-135M"
    assert bar.get_ylabel() == "score"
    assert np.isnan(np.ma.filled(left.images[0].get_array(), np.nan)[3, 5])
    assert len(left.lines[0].get_xdata()) == 6
    frames = [p for p in left.patches if to_hex(p.get_edgecolor()).upper() == GOLD]
    assert [p.get_xy() for p in frames] == [(8.5, -0.5)]
    assert [t.get_text() for t in right.get_yticklabels()] == [""] * 6  # they stand at the left


def test_a_tall_heat_map_is_a_tall_picture():
    low, high = (draw_static(samples.heat(n), "a").get_figheight() for n in (5, 60))
    assert high > 2 * low
