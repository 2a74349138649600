"""Which format the records of a file are in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from goldenlayers.errors import SettingsError
from goldenlayers.facts.formats.base import Format, Record
from goldenlayers.facts.formats.counterfact import COUNTERFACT, COUNTERFACT_FLAT
from goldenlayers.facts.formats.knowedit import WIKI_COUNTERFACT, WIKI_RECENT, ZSRE
from goldenlayers.facts.formats.known import KNOWN_FACTS
from goldenlayers.facts.formats.mend import ZSRE_MEND
from goldenlayers.facts.formats.own import GOLDEN_LAYERS
from goldenlayers.facts.formats.wikibio import WIKIBIO

OWN = GOLDEN_LAYERS
# In the order in which they are tried: a record is of the first format that it fits.
FORMATS: tuple[Format, ...] = (
    GOLDEN_LAYERS,
    COUNTERFACT,
    COUNTERFACT_FLAT,
    ZSRE_MEND,
    WIKIBIO,
    KNOWN_FACTS,
    ZSRE,
    WIKI_COUNTERFACT,
    WIKI_RECENT,
)
LOOKED_AT = 50  # records that have a say in which format a file has


def find_format(name: str) -> Format:
    """Return the format of a name.

    Raises:
        SettingsError: If there is none.
    """
    for fmt in FORMATS:
        if fmt.name == name.strip().casefold():
            return fmt
    raise SettingsError(
        f"format {name!r} is unknown; expected one of {', '.join(f.name for f in FORMATS)}"
    )


def recognise(records: Sequence[object]) -> Format | None:
    """Return the format that most of some records fit, the first of the list where two tie.

    Returns:
        None if no record fits any.
    """
    votes = Counter(fmt for r in records if isinstance(r, dict) if (fmt := _of(r)) is not None)
    most = max(votes.values(), default=0)
    return next((fmt for fmt in FORMATS if most and votes[fmt] == most), None)


def _of(record: Record) -> Format | None:
    return next((fmt for fmt in FORMATS if fmt.fits(record)), None)
