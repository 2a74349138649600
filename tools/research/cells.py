"""The cells of the study of choosers: a model, facts, an editor.

Development cells are for making and tuning choosers. Confirmation cells are opened once, after the
choice and its settings stand in docs/research/ (CONTRIBUTING.md on half b).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from goldenlayers.facts import Fact
from goldenlayers.facts.bundled import bundled_facts
from goldenlayers.facts.read import read_facts

DEVELOPMENT, CONFIRMATION = "development", "confirmation"
WORLD = 150  # facts of a small model's own in its confirmation cells; their edits are cheap
# published files by data set, below the folder that holds them
FILES = {
    "zsre": "zsre/ZsRE-test-all.first400.json",
    "counterfact": "counterfact/counterfact-val.json",
    "wiki-counterfact": "wiki_counterfact/train_cf.json",
    "wiki-recent": "wiki_recent/recent_train.first300.json",
    "wikibio": "wikibio/wikibio-train-all.json",
}


@dataclass(frozen=True)
class Cell:
    """One model, one set of facts, one editor.

    Attributes:
        name: Of the cell.
        role: `DEVELOPMENT` or `CONFIRMATION`.
        model: "bundled", or the name of a model of tools/worlds, such as "gpt2-1".
        data: "bundled", a data set of `FILES`, or "world" for the facts of such a model.
        half: Of a published data set: "a" or "b".
        editor: The editor.
        facts: How many facts.
        proxy: How many of them are marked as proxy facts, which says nothing here; a study of the
            same facts marks them, and its store of edits can be copied if the marks are the same.
        most_characters: Only facts whose prompt and new answer are no longer together.
        layers: Which layers are edited and chosen among; None for all.
        settings: Settings of the editor.
        covariance: "none", or the text that the keys' covariance is taken over.
    """

    name: str
    role: str
    model: str
    data: str
    half: str | None
    editor: str
    facts: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    covariance: str = "none"
    proxy: int | None = None
    most_characters: int | None = None
    layers: str | None = None

    def read_facts(self, published: Path, worlds: Path) -> list[Fact]:
        """Return its facts: known ones of a world, a sample of a published file, the bundled."""
        if self.data == "world":
            found = read_facts(str(worlds / self.model / "facts.jsonl"))
        elif self.data == "bundled":
            found = bundled_facts()
        else:
            found = read_facts(str(published / FILES[self.data])).half(self.half)
        if (most := self.most_characters) is not None:
            kept = [f for f in found if len(f.prompt) + len(f.target_new) <= most]
            found = replace(found, facts=tuple(kept))
        drawn = found.sample(self.facts, seed=0)
        if self.proxy is not None:
            return list(drawn.marked(self.proxy, 0))
        return [replace(f, split=None) for f in drawn]

    def model_path(self, worlds: Path) -> str:
        """Return what golden-layers takes as the model."""
        return "bundled" if self.model == "bundled" else os.fspath(worlds / self.model)


def _cells() -> list[Cell]:
    cells = [
        # the facts of examples/larger-study.yaml
        Cell(f"bundled-{data}-a-r-rome", DEVELOPMENT, "bundled", data, "a", "r-rome", 28, proxy=8)
        for data in ("zsre", "counterfact", "wiki-counterfact", "wiki-recent")
    ]
    cells.append(
        Cell("bundled-bundled-r-rome", DEVELOPMENT, "bundled", "bundled", None, "r-rome", 90)
    )
    for model in ("gpt2-1", "gemma3-1", "qwen3-1"):
        cells.append(Cell(f"{model}-r-rome", DEVELOPMENT, model, "world", None, "r-rome", 200))
        cells.append(
            Cell(f"{model}-emmet", DEVELOPMENT, model, "world", None, "emmet", 200, {}, "model")
        )
    return cells + _confirmation()


def _confirmation() -> list[Cell]:
    role = CONFIRMATION
    sets = ("zsre", "counterfact", "wiki-counterfact", "wiki-recent")
    cells = [Cell(f"bundled-{d}-b-r-rome", role, "bundled", d, "b", "r-rome", 40) for d in sets]
    # prompts of a hundred tokens: hours at every layer, so the short ones at some layers
    cells.append(
        Cell("bundled-wikibio-b-r-rome", role, "bundled", "wikibio", "b", "r-rome", 24,
             most_characters=220, layers="2,7,12,17,22,27")
    )  # fmt: skip
    for model in ("gpt2-2", "qwen3-2"):
        cells += [
            Cell(f"{model}-r-rome", role, model, "world", None, "r-rome", WORLD),
            Cell(f"{model}-emmet", role, model, "world", None, "emmet", WORLD, {}, "model"),
        ]
    return cells


CELLS = {cell.name: cell for cell in _cells()}
