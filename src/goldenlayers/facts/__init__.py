"""What is edited: the `Fact` record, one reader per file format, the bundled facts."""

from goldenlayers.facts.bundled import bundled_facts
from goldenlayers.facts.fact import Fact, LocalityProbe, PortabilityProbe
from goldenlayers.facts.fact_set import BadRecord, FactSet, Note
from goldenlayers.facts.read import read_facts

__all__ = [
    "BadRecord",
    "Fact",
    "FactSet",
    "LocalityProbe",
    "Note",
    "PortabilityProbe",
    "bundled_facts",
    "read_facts",
]
