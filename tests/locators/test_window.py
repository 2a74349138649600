"""The window that a ranking gives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from goldenlayers.errors import SettingsError
from goldenlayers.locators.ranking import LayerRanking, LayerScore
from goldenlayers.locators.window import window_in, window_of


def ranking(scores, golden, fenced=()):
    layers = tuple(
        LayerScore(n, score, None if n in fenced else 1, inside_fences=n not in fenced)
        for n, score in scores.items()
    )
    return LayerRanking("lga", golden, layers, (), {})


@pytest.mark.parametrize(
    ("scores", "golden", "fenced", "width", "expected"),
    [
        ([0, 1, 5, 3, 0, 0], 2, (), 1, (2,)),
        ([0, 1, 5, 3, 0, 0], 2, (), 2, (2, 3)),
        ([0, 1, 5, 3, 0, 0], 2, (), 3, (1, 2, 3)),
        ([0, 1, 5, 3, 2, 0], 2, (), 3, (2, 3, 4)),
        ([9, 0, 0, 5, 0, 0], 3, (), 3, (2, 3, 4)),  # a tie: the golden layer in the middle
        ([0, 4, 5, 90, 1, 0], 2, (3,), 2, (1, 2)),  # what is fenced off does not draw
        ([0, 4, 5, 90, 1, 0], 2, (3,), 5, (0, 1, 2, 3, 4)),
        ([5, 0, 0, 0], 0, (), 3, (0, 1, 2)),
        ([0, 0, 0, 5], 3, (), 3, (1, 2, 3)),
        ([None] * 7, 3, (), 5, (1, 2, 3, 4, 5)),
        ([None] * 7, 3, (), 4, (1, 2, 3, 4)),  # two are as near: the shallower
        ([-5, -3, -1, -9], 2, (), 2, (1, 2)),
    ],
)
def test_windows(scores, golden, fenced, width, expected):
    assert window_of(ranking(dict(enumerate(scores)), golden, fenced), width) == expected


def test_the_deepest_layer_that_is_wanted():
    scores = dict(enumerate([0.0, 0.0, 3.0, 5.0]))
    assert window_of(ranking(scores, 2), 2) == (2, 3)
    assert window_of(ranking(scores, 2), 2, deepest=2) == (1, 2)
    assert window_of(ranking(scores, 3), 2, deepest=2) == (2, 3)  # the golden one all the same


def test_layers_that_were_not_ranked():
    with pytest.raises(SettingsError, match="3 neighbouring layers around the golden layer 4"):
        window_of(ranking({0: 1.0, 2: 1.0, 4: 5.0, 5: 2.0}, 4), 3)
    assert window_of(ranking({0: 1.0, 2: 1.0, 4: 5.0, 5: 2.0}, 4), 2) == (4, 5)


def test_what_an_editor_takes():
    scores = dict(enumerate([0.0, 1.0, 5.0, 3.0, 0.0, 4.0]))
    ours = ranking(scores, 2)
    assert window_in(ours, 1, 6) == (2,)
    assert window_in(ours, 3, 6) == (1, 2, 3)
    assert window_in(ranking(scores, 4), 2, 6) == (3, 4)  # not 4 and 5, the model's last
    assert window_in(ours, 9, 6) == (0, 1, 2, 3, 4)
    # a sweep of windows of three has judged those that end at its layers
    swept = replace(ours, details={"editor_window": 3})
    assert window_in(swept, 3, 6) == (0, 1, 2)
    assert window_in(replace(swept, golden=1), 3, 6) == (0, 1)
    assert window_in(swept, 2, 6) == (2, 3)  # of another width it says what single layers say
