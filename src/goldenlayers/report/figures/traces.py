"""Causal tracing of one fact: what each layer gives back at each token."""

from __future__ import annotations

from goldenlayers.report.document.parts import Item, Table, View
from goldenlayers.report.document.plots import Heat
from goldenlayers.report.figures.common import DATA, MODEL, command_of
from goldenlayers.report.heat_map import WHAT
from goldenlayers.study.run.stored import StoredStudy


def traces(study: StoredStudy) -> Item | None:
    """Return the figure; None if nothing was traced."""
    views = []
    for (model, data), ranking in study.traces.items():
        told = ranking.details.get("heat_map")
        if told is None:
            continue
        first, last = told["subject"]
        tokens = tuple(
            f"{(t.strip() or repr(t)[1:-1])}{'*' if first <= i <= last else ''}"
            for i, t in enumerate(told["tokens"])
        )
        layers = tuple(str(n) for n in told["layers"])
        effect = tuple(tuple(float(v) for v in row) for row in told["effect"])
        rows = tuple(
            (token, int(n), value)
            for token, row in zip(tokens, effect, strict=True)
            for n, value in zip(layers, row, strict=True)
        )
        views.append(
            View(
                {MODEL: model, DATA: data},
                Table(("token", "layer", "effect"), rows, {"effect": "percent"}),
                Heat(
                    tokens, layers, effect, x="layer", y="token (* of the subject)",
                    format="percent", scale="p(answer) regained",
                ),
                f"p(answer) {told['clean']:.1%} clean, {told['corrupted']:.1%} with noise on the "
                f"subject. {command_of(study)}",
            )
        )  # fmt: skip
    if not views:
        return None
    return Item(
        "causal-trace",
        "Where does tracing see the fact?",
        "Noise on the subject makes the model forget the answer; each cell is how much of its "
        f"probability comes back when {WHAT['mlp']} as they were without noise, at that token "
        "(arXiv 2202.05262).",
        tuple(views),
    )
