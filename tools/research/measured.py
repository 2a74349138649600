"""What the package says of its methods' choices: written from the study's confirmation cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cells import CELLS
from choosers import RANDOM, STAGED
from verdict import Found, whole

from goldenlayers.files import write_whole
from goldenlayers.locators.measured import ALL, TRUTH
from goldenlayers.locators.predicted import WAYS as PREDICTED
from goldenlayers.locators.robust_lga import WAYS as ROBUST

# by method, with its way or layer: the chooser that is the same with the method's defaults
METHODS = {
    "lga": "lga",
    "cma": "cma",
    "middle": "middle",
    "fixed:5": "layer 5",
    "random": RANDOM,
    "staged": STAGED,
    "verified": "verified",
    **{f"robust-lga:{way}": f"{way}, fenced" for way in ROBUST},
    **{f"predicted:{way}": f"predicted, {way}" for way in PREDICTED},
}


def write_measured(path: Path, found: Found, models: Mapping[str, tuple[str, int]]) -> None:
    """Write the figures.

    Args:
        path: Where.
        found: By cell and chooser.
        models: By cell, class and number of parameters of its model.
    """
    classes = sorted({architecture for architecture, _ in models.values()})
    parts = {ALL: list(found)} | {
        name: [cell for cell in found if models[cell][0] == name] for name in classes
    }
    data: dict[str, Any] = {
        "format": "golden-layers measured choices",
        "format_version": 1,
        "cells": [
            {
                "name": cell,
                "architecture": models[cell][0],
                "parameters": models[cell][1],
                "facts": CELLS[cell].data,
                "editor": CELLS[cell].editor,
            }
            for cell in found
        ],
        "excess": {
            name: _excess({cell: found[cell] for cell in some}) for name, some in parts.items()
        },
    }
    text = json.dumps(data, indent=1) + "\n"
    write_whole(path, lambda to: to.write_text(text, encoding="utf-8"))


def _excess(found: Found) -> dict[str, list[float]]:
    out = {
        method: [round(float(x), 4) for x in whole(found, chooser)[:3]]
        for method, chooser in METHODS.items()
    }
    floors = [one["lga"].floor for one in found.values()]
    return out | {TRUTH: [round(sum(floors) / len(floors), 4)]}
