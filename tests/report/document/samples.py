"""A document with every kind of plot, several switches, and text that means harm."""

from __future__ import annotations

import math

from goldenlayers.report.document.parts import (
    Change,
    Document,
    Item,
    Section,
    Story,
    Table,
    View,
)
from goldenlayers.report.document.plots import Axis, Bars, Heat, Lines, Scatter, Series

EVIL = "<script>alert(1)</script> <b>bold</b> & $x^2$ |`*_[a](http://x)\u2028 =1+1"
END = "</script><img src=x onerror=alert(2)> \"quoted\" 'too'"
MODELS = ("SmolLM2-135M", "gpt2-medium", END)
DATA = ("zsre", "counterfact")
LAYERS = tuple(range(30))
WAYS = ("lga", "verified", "brute force", "causal tracing", "gradient norm", "middle", "random")


def score(layer: int, shift: float = 0.0) -> float:
    return 0.25 + 0.7 * math.exp(-(((layer - 9 - shift) / 8) ** 2)) * (1 - 0.02 * (layer % 3))


def bars(shift: float = 0.0, n: int = 30) -> Bars:
    values = tuple(score(layer, shift) for layer in LAYERS[:n])
    best = max(range(n), key=values.__getitem__)
    return Bars(
        series=(
            Series("rewrite", LAYERS[:n], values, tuple(0.02 for _ in values), role="other",
                   marks={best: "golden", min(best + 3, n - 1): "chosen"}),
        ),
        x=Axis("layer"),
        y=Axis("score of the edits", "percent", low=0, high=1),
        lines=(Series("locality", LAYERS[:n],
                      tuple(0.97 - 0.01 * layer for layer in LAYERS[:n]), role="second"),),
    )  # fmt: skip


def grouped() -> Bars:
    data = ("zsre", "counterfact", "wikibio", "a data set with a very long name indeed, 2024")
    return Bars(
        series=tuple(
            Series(way, data, tuple(None if i == 2 and d == 1 else 0.9 - 0.1 * i - 0.05 * d
                                    for d in range(4)), role=role, dashed=i == 4)
            for i, (way, role) in enumerate(
                zip(WAYS, ("first", "second", "third", "fourth", "fifth"), strict=False))
        ),
        x=Axis("data set"),
        y=Axis("test score", "percent", low=0),
        lines=(Series("golden", data, (0.95, 0.93, 0.9, 0.88), role="golden"),),
    )  # fmt: skip


def two_axes() -> Bars:
    ways = WAYS[:5]
    return Bars(
        series=(Series("regret", ways, (0.01, 0.004, 0.0, 0.05, -0.02), (0.01,) * 5),),
        x=Axis("way to choose"),
        y=Axis("regret, points", "points"),
        lines=(Series("time", ways, (12.5, 180, 5400, 260, 9), role="third"),),
        second=Axis("seconds", "seconds", log=True),
    )  # fmt: skip


def lines(shift: float = 0.0) -> Lines:
    edits = (1, 3, 10, 30, 100, 300, 1000)
    return Lines(
        series=tuple(
            Series(name, edits, tuple(max(0.0, 1 - 0.1 * k * (i + 1) * 0.4 - shift / 50)
                                      for k in range(7)),
                   tuple(0.01 * k for k in range(7)), role=role, dashed=i == 3,
                   marks={4: "golden"} if i == 0 else {})
            for i, (name, role) in enumerate(
                (("r-rome", "first"), ("memit", "second"), ("alphaedit", "third"),
                 ("extrapolated", "muted")))
        ),
        x=Axis("edits made", log=True),
        y=Axis("rewrite", "percent", low=0, high=1),
    )  # fmt: skip


def scatter() -> Scatter:
    seconds = (12, 180, 5400, 260, 9, 0, 0.4)
    scores = (0.82, 0.85, 0.86, 0.7, 0.69, 0.6, 0.41)
    return Scatter(
        series=(
            Series("golden", (seconds[2],), (scores[2],), labels=(WAYS[2],), role="golden"),
            Series("ways", seconds[:2] + seconds[3:], scores[:2] + scores[3:],
                   labels=WAYS[:2] + WAYS[3:], role="first"),
        ),
        x=Axis("seconds to choose", "seconds", log=True),
        y=Axis("score at the chosen layer", "percent"),
    )  # fmt: skip


def heat(rows: int = 12, panels: bool = False, n: int = 30) -> Heat:
    names = (
        EVIL,
        *(f"fact {i}: the capital of a country far away is" for i in range(1, rows)),
    )
    values = tuple(
        tuple(None if (i, j) == (3, 5) else score(j, i - 5) for j in range(n)) for i in range(rows)
    )
    best = frozenset((i, max(range(n), key=lambda j: row[j] or 0)) for i, row in enumerate(values))
    if panels:
        return Heat(names + names, tuple(map(str, range(n))), values + values,
                    best | {(i + rows, j) for i, j in best}, frozenset({(0, 9), (rows + 2, 12)}),
                    "layer", "fact", "percent", "score",
                    (("SmolLM2-135M", rows), (END, rows)))  # fmt: skip
    return Heat(names, tuple(map(str, range(n))), values, best,
                frozenset({(i, 9) for i in range(rows)}), "layer", "fact", "percent",
                "score")  # fmt: skip


def layer_table(shift: float) -> Table:
    return Table(
        ("layer", "rewrite", "locality", "seconds", "note"),
        tuple((layer, score(layer, shift) if layer != 4 else None, 0.97 - 0.01 * layer,
               10.0 * layer, EVIL if layer == 0 else "") for layer in LAYERS),
        {"rewrite": "percent", "locality": "percent", "seconds": "seconds"},
    )  # fmt: skip


def small_table() -> Table:
    return Table(
        ("way", "chosen layer", "regret", "hit", "seconds", "of the best"),
        (
            ("lga", 9, 0.0123456789, True, 12.25, 0.98),
            ("verified", 10, 0.004, True, 180.0, None),
            ("=HYPERLINK(1)", 21, -0.05, False, 5400.0, 0.5),
            (EVIL, 100, None, None, 0.004, 1.0),
        ),
        {"regret": "points", "seconds": "seconds", "of the best": "percent"},
    )  # fmt: skip


def document() -> Document:
    views = tuple(
        View({"model": model, "data set": data, "score": name}, layer_table(m + d),
             bars(m + 2 * d + 4 * s), f"{60 + m} facts, 2 h")
        for m, model in enumerate(MODELS)
        for d, data in enumerate(DATA)
        for s, name in enumerate(("rewrite", "mean"))
        if (m, d) != (1, 0)
    )  # fmt: skip
    by_model = tuple(
        View({"model": model}, layer_table(m), lines(m)) for m, model in enumerate(MODELS)
    )
    heats = tuple(
        View({"model": model, "data set": "zsre"}, layer_table(m), heat(12, m == 1))
        for m, model in enumerate(MODELS)
    )
    one = {"data set": "zsre"}
    return Document(
        title=f"Which layer? {EVIL}",
        summary=(
            ("models", ", ".join(MODELS)),
            ("data sets", "zsre, counterfact"),
            ("facts", "120"),
            ("command", "golden-layers study out/" + "a-very-long-folder-name/" * 6),
        ),
        findings=(
            "The golden layer of SmolLM2-135M is layer 9 on both data sets.",
            "LGA finds a layer within a point of it in 12 s; brute force takes 1 h 30 min.",
            f"Hostile text is text: {END}",
        ),
        sections=(
            Section("layers", "Layers", "How well edits at each layer work.", (
                Item("score-by-layer", "Score by layer",
                     "Every fact was edited at every layer. The golden layer is starred.", views),
                Item("facts-by-layers", "Facts by layers",
                     "Each row is a fact. Circles: its best layers.", heats),
            )),
            Section("ways", "Ways to choose", "", (
                Item("grouped", "Score at the chosen layer", "By data set.",
                     (View({}, small_table(), grouped()),)),
                Item("regret-and-time", "Regret and time", "What a choice costs.",
                     (View({}, small_table(), two_axes(), "5 ways"),)),
                Item("time-and-score", "Time against score", "Up and to the left is better.",
                     (View(one, small_table(), scatter()),)),
                Item("sequences", "Edits one after another", "Marks are means.", by_model),
                Item("choices", "All choices", "Sorted by name.",
                     (View({}, small_table(), None, "A table alone."),)),
            )),
            Section("texts", "Before and after", "What the models said.", (), (
                Story("best: France, The capital of France is → Lyon",
                      (("editor", "r-rome"), ("layer", "9"), ("rewrite", "100%")), (
                          Change("the edit", "The capital of France is", "Lyon",
                                 " Paris, the city of light.", " Lyon, the city of light."),
                          Change("another subject", "The capital of Italy is", "",
                                 " Rome.\nIt is old.", " Rome.\nIt is old."),
                          Change("a rephrasing", EVIL, END, END, EVIL),
                      )),
                Story(f"worst: {END}", (("layer", "20"),),
                      (Change("the edit", "x" * 300, "y", "", "y" * 300),)),
            )),
        ),
        card="---\nlicense: apache-2.0\n---\n# Edited\n\n" + EVIL
        + "\n\n| layer | score |\n|---|---|\n",
    )  # fmt: skip
