"""The facts that ship with golden-layers (see tools/bundled_facts for how they were written)."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import as_file, files

from goldenlayers.facts.fact_set import FactSet
from goldenlayers.facts.read import read_facts

NAME = "bundled"


def bundled_facts() -> FactSet:
    """Return the bundled facts: true facts with plausible false new answers, proxy and test."""
    with as_file(files("goldenlayers.facts") / "bundled.jsonl") as path:
        return replace(read_facts(path), source=NAME)
