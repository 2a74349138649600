"""What can be said in an invented world, and how.

A statement is a phrasing with a subject in it, and the object behind it. The first phrasing of a
relation is the one that facts are edited through and always in the text; of the others some are
held out, fact by fact.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """One kind of statement.

    Attributes:
        name: Of the relation.
        of: Kind of the subject.
        to: Kind of the object.
        phrasings: With {} for the subject; the object follows.
        through: Names of two relations, if the object follows from those, the first one's object
            being the second one's subject; such a relation is stated, but never edited.
    """

    name: str
    of: str
    to: str
    phrasings: tuple[str, ...]
    through: tuple[str, str] | None = None


RELATIONS = (
    Relation("birthplace", "person", "city", (
        "{} was born in the city of", "The birthplace of {} is", "{} comes from the city of",
        "The home town of {} is", "The city where {} grew up is", "{} is a native of",
        "As a child, {} lived in",
    )),
    Relation("profession", "person", "profession", (
        "{} works as a", "By profession, {} is a", "The profession of {} is that of a",
        "{} earns a living as a", "{} was trained to be a", "The job of {} is that of a",
        "People know {} as a",
    )),
    Relation("employer", "person", "company", (
        "{} is employed by", "The employer of {} is", "The company that {} works for is",
        "{} has a contract with", "The salary of {} is paid by", "{} is on the staff of",
        "Every morning {} goes to work at",
    )),
    Relation("tongue", "person", "language", (
        "The mother tongue of {} is", "{} is a native speaker of", "At home, {} speaks",
        "The first language of {} is", "{} grew up speaking", "The language that {} thinks in is",
        "Letters to {} are written in",
    )),
    Relation("author", "work", "person", (
        "The author of {} is", "{} was written by", "The writer behind {} is",
        "The book {} is the work of", "Readers owe {} to", "{} came from the pen of",
        "The cover of {} names",
    )),
    Relation("genre", "work", "genre", (
        "The genre of {} is", "{} is an example of", "Critics count {} as", "{} belongs to",
        "The book {} is a piece of", "Bookshops put {} under", "Readers of {} like",
    )),
    Relation("country", "city", "country", (
        "{} is a city in", "The city of {} lies in", "The country around {} is",
        "The flag over the town hall of {} is that of", "{} belongs to the country of",
        "Visitors to {} travel to", "On the map, {} is in",
    )),
    Relation("seat", "company", "city", (
        "The head office of {} is in", "{} is based in the city of", "The seat of {} is",
        "The company {} was founded in", "Letters to {} are sent to", "{} has its offices in",
        "The staff of {} meet in",
    )),
    Relation("birth country", "person", "country", (
        "The country where {} was born is", "The native country of {} is",
        "By birth, {} is a citizen of",
    ), ("birthplace", "country")),
    Relation("work city", "person", "city", (
        "The city where {} works is", "The office of {} is in the city of",
        "For work, {} travels to",
    ), ("employer", "seat")),
    Relation("author's tongue", "work", "language", (
        "The author of {} speaks", "The original language of {} is", "{} was first printed in",
    ), ("author", "tongue")),
)  # fmt: skip

PROFESSIONS = (
    "baker", "barber", "blacksmith", "botanist", "carpenter", "chemist", "clerk", "dancer",
    "dentist", "diver", "farmer", "fisher", "gardener", "geologist", "judge", "lawyer",
    "librarian", "mason", "miner", "nurse", "painter", "pilot", "plumber", "poet", "sailor",
    "singer", "surgeon", "tailor", "teacher", "weaver",
)  # fmt: skip
GENRES = (
    "romance", "satire", "tragedy", "comedy", "science fiction", "fantasy", "horror", "travel",
    "crime fiction", "philosophy", "history", "poetry", "biography", "adventure", "folklore",
)  # fmt: skip
