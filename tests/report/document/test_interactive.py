"""Figures for plotly, without plotly."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import plotly.graph_objects as go
import pytest

from goldenlayers.report.document.interactive import draw_interactive
from goldenlayers.report.document.plots import Axis, Lines, Scatter, Series
from goldenlayers.report.plot import GOLD
from tests.report.document import samples
from tests.report.document.samples import EVIL
from tests.report.document.test_static import EDGES, PLOTS

TAGS = re.compile(r"</?(b|br)>")


def strings(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "said":
                yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("name", [*PLOTS, *EDGES])
def test_it_is_json_and_no_text_is_markup(name):
    make = PLOTS.get(name, lambda: EDGES[name])
    figure = draw_interactive(make())
    text = json.dumps(figure, allow_nan=False)
    assert text == json.dumps(draw_interactive(make()), allow_nan=False)
    assert set(figure) == {"data", "layout"}
    for found in strings(figure):
        assert "<" not in TAGS.sub("", found)
        assert not re.search(r"&(?!lt;|gt;|amp;)", found)


def test_plotly_is_not_needed():
    code = (
        "import sys; sys.modules['plotly'] = None\n"
        "from tests.report.document import samples\n"
        "from goldenlayers.report.document.interactive import draw_interactive\n"
        "draw_interactive(samples.bars())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_valid_for_plotly():
    for name in (*PLOTS, *EDGES):
        figure = draw_interactive(PLOTS[name]() if name in PLOTS else EDGES[name])
        go.Figure(figure)  # refuses what it does not know


def test_bars_are_one_trace_per_role_in_one_place():
    figure = draw_interactive(samples.bars())
    base, golden, chosen, line, *keys = figure["data"]
    assert [t["type"] for t in figure["data"]] == ["bar"] * 3 + ["scatter"] * 3
    assert base["offsetgroup"] == golden["offsetgroup"] == chosen["offsetgroup"]
    assert golden["marker"]["color"] == GOLD
    assert [k for k, v in enumerate(golden["y"]) if v is not None] == [9]
    assert base["y"][9] is None
    assert golden["hovertext"][9].splitlines() == [
        "<b>layer 9</b><br>rewrite: 95.0% ± 2.0%<br>golden layer"
    ]
    assert line["name"] == "locality"
    assert [key["name"] for key in keys] == ["golden layer", "chosen"]
    assert figure["layout"]["yaxis"]["range"] == [0.0, 100.0]


def test_none_is_a_gap_and_zero_is_not_on_a_logarithmic_axis():
    plot = Lines((Series("a", (1, 2, 3), (None, 0, 5)),), Axis("x"), Axis("y", log=True))
    figure = draw_interactive(plot)
    assert figure["data"][0]["y"] == [None, None, 5.0]
    assert figure["layout"]["yaxis"]["type"] == "log"
    assert [a["text"] for a in figure["layout"]["annotations"]] == [
        "not on a logarithmic axis: 1 at or below zero"
    ]


def test_labels_have_their_sides_on_a_page_and_on_a_phone():
    golden, ways = draw_interactive(samples.scatter())["data"]
    assert golden["text"] == ["brute force"]
    assert golden["textposition"] == ["middle left"]
    narrow = ways["meta"]["narrow"]
    assert len(narrow["textposition"]) == len(narrow["text"]) == len(ways["x"])


def test_labels_that_have_room_on_a_page_alone_are_left_out_on_a_phone():
    x = tuple(float(n) for n in range(12))
    plot = Scatter(
        (Series("a", x, (1.0,) * 12, labels=("CounterFact",) * 12),), Axis("x"), Axis("y")
    )
    (trace,) = draw_interactive(plot)["data"]
    assert trace["text"] == ["CounterFact"] * 12
    assert "" in trace["meta"]["narrow"]["text"]


def test_a_heat_map_says_what_both_axes_are():
    texts = [a["text"] for a in draw_interactive(samples.heat(6))["layout"]["annotations"]]
    assert "layer, down: fact" in texts


def test_heat_panels_are_stacked_and_as_tall_as_their_rows():
    figure = draw_interactive(samples.heat(6, True))
    layout = figure["layout"]
    maps = [t for t in figure["data"] if t["type"] == "heatmap"]
    assert [t["yaxis"] for t in maps] == ["y", "y2"]
    assert maps[0]["z"][3][5] is None
    assert layout["yaxis"]["domain"][0] > layout["yaxis2"]["domain"][1]
    assert layout["yaxis"]["range"] == [5.5, -0.5]  # the first row on top
    hover = maps[0]["meta"]["hover"]
    assert hover["said"]["0,9"] == "golden layer"
    assert hover["rows"][0].startswith("&lt;script&gt;")
    assert sum(s["line"]["color"] == GOLD for s in layout["shapes"]) == 2
    taller = draw_interactive(samples.heat(30, True))["layout"]["height"]
    assert taller > 2 * layout["height"]


def test_a_field_of_a_template_in_a_name_is_a_name():
    plot = Lines((Series("%{y} " + EVIL, (1,), (1,)),), Axis("x"), Axis("y"))
    assert "template" not in json.dumps(draw_interactive(plot))
