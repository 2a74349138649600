"""Tables of many edits: by layer, and one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from goldenlayers.report.table import is_there

if TYPE_CHECKING:
    from rich.console import JustifyMethod

    from goldenlayers.metrics.evaluation import Evaluation
    from goldenlayers.study.each import EditedLayers
    from goldenlayers.study.milestone import EditSequence

# Teacher-forced scores with what the model writes itself beside them.
BY_LAYER = (
    "rewrite", "generated_rewrite", "rephrase", "generated_rephrase", "locality", "portability",
    "mean", "fluency",
)  # fmt: skip
# Two lines a head. A terminal of 80 columns shows every column, with whole per cents and narrower
# heads; one of 100 shows a decimal as well.
HEADS = {
    "generated_rewrite": "gene-\nrated",
    "generated_rephrase": "gene-\nrated",
    "portability": "porta-\nbility",
}
NARROW_HEADS = {"rephrase": "re-\nphrase", "locality": "loca-\nlity", "rewrite": "re-\nwrite"}
IN_TWO = {"fluency": "flu-\nency", "perplexity": "per-\nplexity"}
WIDE = 100
IN_SEQUENCE = (
    "rewrite", "rephrase", "locality", "portability", "mean", "fluency", "perplexity",
)  # fmt: skip


def layers_table(result: EditedLayers, width: int = WIDE) -> Table:
    """Return one row per layer: means in per cent ± standard errors over facts, fluency in bits.

    "generated" is the score to its left, of what the model writes itself.

    Args:
        result: Edits at several layers.
        width: Columns that there are to print it in.
    """
    digits = int(width >= WIDE)
    heads = HEADS if width >= WIDE else HEADS | NARROW_HEADS
    table = _table(["layer", "took", *(heads.get(n, n) for n in BY_LAYER), "s/\nedit"])
    means = [one.evaluation.mean("mean") for one in result.layers]
    best = max((m for m in means if m is not None), default=None)
    for one, mean in zip(result.layers, means, strict=True):
        n = len(one.outcomes)
        table.add_row(
            str(one.layer),
            f"{one.converged}/{n}",
            *(_score(one.evaluation, name, digits) for name in BY_LAYER),
            f"{one.seconds['edit'] / n:.1f}" if n else "–",
            style="bold" if mean is not None and mean == best and len(means) > 1 else "",
        )
    return table


def sequences_table(sequences: Sequence[EditSequence], width: int = WIDE) -> Table:
    """Return one row per editor and milestone: means over the facts edited so far.

    Args:
        sequences: The sequences.
        width: Columns that there are to print it in; a narrow table leaves out the largest update
            and the time.
    """
    wide = width >= WIDE
    heads = HEADS | IN_TWO | ({} if wide else NARROW_HEADS)
    more = ["largest\n|dW|", "s/\nedit"] if wide else []
    scores = [heads.get(n, n) for n in IN_SEQUENCE]
    table = _table(["editor", "layers", "edits", "took", *scores, "|W|\ngrown", *more])
    for sequence in sequences:
        ends = dict.fromkeys((sequence.layers[0], sequence.layers[-1]))
        for m in sequence.milestones:
            took = m.seconds_per_fact
            last = [_ratio(m.largest_update), "–" if took is None else f"{took:.1f}"]
            table.add_row(
                sequence.editor,
                "–".join(map(str, ends)),
                str(m.edits),
                str(m.converged),
                *(_number(m.scores.get(name), name, 1) for name in IN_SEQUENCE),
                _ratio(m.weight_growth),
                *(last if wide else []),
            )
        table.add_section()
    return table


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        justify: JustifyMethod = "left" if name == "editor" else "right"
        table.add_column(name, justify=justify, no_wrap=True, vertical="bottom")
    return table


def _score(evaluation: Evaluation, name: str, digits: int) -> str:
    text = _number(evaluation.mean(name), name, digits)
    spread = evaluation.standard_error(name)
    return text if spread is None else f"{text}±{_number(spread, name, digits)}"


def _number(value: float | None, name: str, digits: int) -> str:
    if not is_there(value):
        return "–"
    if name in ("fluency", "perplexity"):
        return _ratio(value)
    return f"{100 * value:.{digits}f}"


def _ratio(value: float) -> str:
    if not is_there(value):
        return "–"
    return f"{value:.2f}" if value < 1000 else f"{value:.0e}"
