"""A section for a model card: what was edited, where, how well, and what else changed."""

from __future__ import annotations

from goldenlayers.report.document.text import for_markdown
from goldenlayers.report.figures.common import LGA
from goldenlayers.study.run.stored import Compared, StoredStudy


def card(study: StoredStudy) -> str:
    """Return markdown, a table per model and editor; "" if nothing was compared."""
    lines = []
    for model in study.models:
        for editor in study.editors:
            cells = study.main(model, editor)
            if cells:
                lines += _part(study, model, editor, cells)
    return "\n".join(lines).rstrip() + "\n" if lines else ""


def _part(study: StoredStudy, model: str, editor: str, cells: list[Compared]) -> list[str]:
    lines = [
        f"## Fact edits: {for_markdown(model)}, {for_markdown(editor)}",
        "",
        "Which layer edits of facts belong in, measured with golden-layers "
        f"{study.index['versions'].get('golden-layers', '')}. Each test fact was edited alone, "
        "scored and undone; scores are means over test facts with one standard error, at the layer "
        "that was chosen on other facts.",
        "",
        "| facts | test facts | layer | rewrite | rephrase | locality | portability | best layer |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for cell in cells:
        chosen = cell.chosen.get(LGA) or next(iter(cell.chosen.values()), None)
        if chosen is None:
            continue
        scores = [
            _score(*cell.at(chosen.weights, n)) if n in cell.names else "–"
            for n in ("rewrite", "rephrase", "locality", "portability")
        ]
        layers = " ".join(map(str, dict.fromkeys(chosen.layers)))
        row = (
            for_markdown(cell.data),
            len(cell.scores.facts),
            layers,
            *scores,
            cell.told["golden"],
        )
        lines.append(f"| {' | '.join(map(str, row))} |")
    lines.append("")
    for (name, data, made_by), told in study.edits.items():
        side = told["side_effects"]
        if (name, made_by) != (model, editor) or side is None:
            continue
        single, together = side["single"], side["together"]
        agree = sum(s["agreement"] for s in single) / len(single)
        after = together["perplexity"]
        lines.append(
            f"Side effects, {for_markdown(data)}: after one edit {100 * agree:.1f} % of the next "
            f"tokens of an unrelated text stay the same; after {together['facts']} edits in one "
            f"model {100 * together['agreement']:.1f} %, and its perplexity goes from "
            f"{side['perplexity_before']:.2f} to "
            f"{'infinity' if after is None else format(after, '.2f')}."
        )
        lines.append("")
    return lines


def _score(value: float, error: float | None) -> str:
    return f"{100 * value:.1f}" + ("" if error is None else f" ± {100 * error:.1f}")
