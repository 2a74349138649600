"""Edits told by texts, and what they change besides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldenlayers.report.document.parts import Cell, Change, Item, Story, Table, View
from goldenlayers.report.figures.common import DATA, EDITOR, MODEL, command_of, title_of
from goldenlayers.study.run.stored import StoredStudy

COLUMNS = (DATA, EDITOR, "layers", "edits", "perplexity before", "perplexity after",
           "next tokens that stay")  # fmt: skip


def stories(study: StoredStudy) -> tuple[Story, ...]:
    """Return the best and the worst edits of each data set and editor."""
    found = []
    for (model, data, editor), told in study.edits.items():
        where = ", ".join(map(str, told["layers"]))
        for one in told["stories"]:
            fact = one["fact"]
            label = (model, data) if len(study.models) > 1 else (data,)
            found.append(
                Story(
                    f"{one['kind']} of {', '.join(label)}: {fact['prompt']} → {fact['target_new']}",
                    (
                        (EDITOR, editor),
                        ("layer", f"{where} (by {title_of(told['chosen_by'])})"),
                        ("score", f"{100 * one['score']:.0f} %"),
                        ("the edit", f"{one['status']}: {one['reason']}"),
                    ),
                    tuple(
                        Change(c["kind"], c["prompt"], c["wanted"], c["before"], c["after"])
                        for c in one["changes"]
                    ),
                )
            )
    return tuple(found)


def side_effects(study: StoredStudy) -> Item | None:
    """Return what the edits do to a text that has nothing to do with them; None if unknown."""
    views = []
    for model in study.models:
        rows: list[tuple[Cell, ...]] = []
        for (name, data, editor), told in study.edits.items():
            if name == model and told["side_effects"] is not None:
                rows += _rows(data, editor, told)
        if rows:
            views.append(
                View(
                    {MODEL: model},
                    Table(COLUMNS, tuple(rows), {COLUMNS[-1]: "percent"}),
                    note=command_of(study),
                )
            )
    if not views:
        return None
    return Item(
        "side-effects",
        "What else does an edit change?",
        "A fixed text that no edit is about, read before and after: its perplexity, and the share "
        "of positions at which the likeliest next token stays the same. Edits one at a time "
        "(means), and all of them in one model.",
        tuple(views),
    )


def _rows(data: str, editor: str, told: Mapping[str, Any]) -> list[tuple[Cell, ...]]:
    side = told["side_effects"]
    where, before = " ".join(map(str, told["layers"])), side["perplexity_before"]
    single, together = side["single"], side["together"]
    after = [s["perplexity"] for s in single]
    mean = None if None in after else sum(after) / len(after)
    agree = sum(s["agreement"] for s in single) / len(single)
    return [
        (data, editor, where, f"1 of {len(single)}", before, mean, agree),
        (data, editor, where, f"all {together['facts']}", before, together["perplexity"],
         together["agreement"]),
    ]  # fmt: skip


def tasks(study: StoredStudy) -> Item | None:
    """Return lm-eval's scores before and after; None if it was not asked."""
    views = []
    for model in study.models:
        rows: list[tuple[Cell, ...]] = []
        for (name, data, editor), told in study.edits.items():
            found = (told["side_effects"] or {}).get("lm_eval")
            if name != model or not found:
                continue
            for task, values in found["before"].items():
                rows += [
                    (data, editor, task, metric, value, found["after"].get(task, {}).get(metric))
                    for metric, value in values.items()
                ]
        if rows:
            columns = (DATA, EDITOR, "task", "metric", "before", "after")
            views.append(View({MODEL: model}, Table(columns, tuple(rows)), note=command_of(study)))
    if not views:
        return None
    return Item(
        "general-ability",
        "Does the model keep its other abilities?",
        "Tasks of lm-eval before the edits and with all edits of the table of side effects in one "
        "model.",
        tuple(views),
    )
