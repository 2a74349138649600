"""Golden-layers' own format, in JSON Lines, in a JSON list, or its simple columns in CSV."""

from __future__ import annotations

from goldenlayers.facts.formats.base import Built, Format, Record
from goldenlayers.facts.validate import FIELDS, REQUIRED, fact_from_record


def build(record: Record, number: int) -> Built:
    """Return the fact of a record; an unknown field is an error, for it may be a misspelt one."""
    return Built(fact_from_record(record))


GOLDEN_LAYERS = Format(
    name="golden-layers",
    title="golden-layers' own format",
    required=REQUIRED,
    optional=tuple(name for name in FIELDS if name not in REQUIRED),
    build=build,
    own_ids=True,
    strict=True,
)
