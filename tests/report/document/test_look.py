"""Colours, numbers, places and labels."""

from __future__ import annotations

import itertools
import math
import typing

import pytest

from goldenlayers.report.document.labels import place
from goldenlayers.report.document.look import DARK, LOOKS, PAPER, SCALE, drawn, written
from goldenlayers.report.document.places import across, extremes, log_ticks, places, reach, unseen
from goldenlayers.report.document.plots import Axis, Role, Series
from goldenlayers.report.plot import GOLD


@pytest.mark.parametrize(
    ("value", "format", "text"),
    [
        (None, "number", "–"), (math.nan, "percent", "–"), (math.inf, "number", "∞"),
        (-math.inf, "number", "−∞"), (True, "percent", "yes"), (False, "number", "no"),
        ("-a", "number", "-a"), (0.5, "percent", "50.0%"), (1, "percent", "100.0%"),
        (0.0123, "points", "+1.2"), (-0.5, "points", "−50.0"), (-0.0001, "points", "0.0"),
        (3, "number", "3"), (-3, "number", "−3"), (123456, "number", "123456"),
        (0.0, "number", "0"), (1234.56, "number", "1235"), (0.5, "number", "0.5"),
        (1e-7, "number", "1.00e−07"), (2.5e9, "number", "2.50e+09"), (0, "seconds", "0 s"),
        (0.004, "seconds", "4 ms"), (12.25, "seconds", "12.2 s"), (180, "seconds", "3 min"),
        (5400, "seconds", "90 min"), (7200, "seconds", "2 h"), (172800, "seconds", "2 d"),
    ],
)  # fmt: skip
def test_numbers_as_people_read_them(value, format, text):
    assert written(value, format) == text


def test_what_cannot_be_drawn_is_none():
    assert drawn(0.5, "percent") == 50.0
    assert drawn(2, "seconds") == 2.0
    for value in (None, math.nan, math.inf):
        assert drawn(value, "number") is None
    assert drawn(0, "number", log=True) is None


def test_every_role_has_a_look_of_its_own():
    assert set(LOOKS) == set(typing.get_args(Role))
    named = [LOOKS[r] for r in ("first", "second", "third", "fourth", "fifth", "golden", "muted")]
    assert len({look.colour for look in named}) == len(named)
    assert len({look.marker for look in named}) == len(named)
    bars = [look.hatch for look in named[:5]]
    assert len(set(bars)) == 5
    assert [r for r, look in LOOKS.items() if look.colour == GOLD] == ["golden"]


def lightness(colour: str) -> float:
    return 116 * luminance(colour) ** (1 / 3) - 16  # CIELAB, of all that is not nearly black


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_the_scale_has_equal_steps_and_is_turned_round_in_the_dark():
    steps = [lightness(a) - lightness(b) for a, b in itertools.pairwise(SCALE)]
    assert max(steps) - min(steps) < 1.5
    assert min(steps) > 9
    assert [DARK[c] for c in SCALE] == list(SCALE[::-1])
    assert DARK[PAPER] != PAPER
    assert GOLD not in DARK


def test_places_are_numbers_or_names():
    layers = Series("a", (0, 2, 4), (1.0, None, 2.0))
    x = places([layers], Axis("layer"))
    assert (x.names, x.whole, x.least, x.span) == ((), True, 2.0, (0.0, 4.0))
    assert x.ticks(5) == (0, 2, 4)
    many = places([Series("a", tuple(range(30)), (1,) * 30)], Axis("layer"))
    assert many.ticks(33) == tuple(range(30))
    assert many.ticks(9) == (0, 5, 10, 15, 20, 25)
    assert places([Series("a", (0.5, 2), (1, 1))], Axis("share")).ticks(9) is None
    named = places([layers, Series("b", ("x", "0"), (1, 2))], Axis("what"))
    assert named.names == ("0", "2", "4", "x")
    assert named.at("x") == 3.0
    assert named.at(2) == 1.0


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (1.8, 4.4, (2, 3, 4)), (0.9, 10, (1, 2, 5, 10)), (0.8, 250, (1, 3, 10, 30, 100)),
        
        (0.001, 2000, tuple(10.0**e for e in range(-3, 4))),
        (1e-9, 1e9, tuple(10.0**e for e in range(-9, 10, 3))), (3.1, 3.9, (3.18, 3.5, 3.82)),
    ],
)  # fmt: skip
def test_a_logarithmic_axis_has_numbers_over_a_short_way_too(low, high, found):
    assert log_ticks(low, high) == pytest.approx(found)


def test_nothing_and_one_point_have_axes_too():
    assert reach([], Axis("y")) == pytest.approx((-0.07, 1.07))
    assert reach([None, math.nan], Axis("y", log=True)) == pytest.approx((1 / 1.15, 11.5))
    low, high = reach([3.0], Axis("y"))
    assert low < 3 < high
    low, high = reach([5.0], Axis("y", log=True))
    assert 0 < low < 5 < high
    for axis in (Axis("x"), Axis("x", log=True)):
        for series in (Series("a", (), ()), Series("a", (7,), (1,)), Series("a", (0,), (1,))):
            low, high = across(places([series], axis), bars=False)
            assert low < high


def test_given_ends_are_kept_and_wider_values_stretch_them():
    assert reach([0.2, 0.4], Axis("y", "percent", low=0, high=1)) == (0.0, 100.0)
    low, high = reach([-0.2, 1.4], Axis("y", "percent", low=0, high=1))
    assert low < -20
    assert high > 140


def test_an_error_does_not_stretch_a_share_below_zero():
    axis = Axis("y", "percent", low=0, high=1)
    series = Series("a", (1, 2), (0.01, 0.99), (0.05, 0.05))
    assert reach(extremes([series], axis), axis) == (0.0, 100.0)
    free = Axis("y", "percent")
    assert min(extremes([series], free)) == pytest.approx(-0.04)


def test_values_that_a_logarithmic_axis_hides_are_counted():
    assert unseen([0, -1, 2, None, math.nan], Axis("y", log=True)) == 2
    assert unseen([0, -1], Axis("y")) == 0


def test_labels_leave_one_another_and_stay_inside():
    frame = (0.0, 0.0, 300.0, 200.0)
    assert place([(20, 100)], ["alone"], frame, 10) == ["right"]
    assert place([(290, 100)], ["at the right"], frame, 10) == ["left"]
    sides = place([(100, 100), (130, 100)], ["first one", "second"], frame, 10)
    assert sides[0] != "right"
    assert place([], [], frame, 10) == []


def test_a_label_that_would_hide_others_on_every_side_is_left_out():
    frame = (0.0, 0.0, 300.0, 200.0)
    crowd = [(150, 100)] * 12
    sides = place(crowd, ["some data set"] * 12, frame, 10)
    assert sides == ["right", "left", "top", "bottom"] + [None] * 8
    # wider than the frame: not even half of it would be seen
    assert place([(10, 10)], ["long" * 40], frame, 10) == [None]
