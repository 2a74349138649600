"""An invented world: who there is, and what is true of them. All of it follows from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from names import Names
from relations import GENRES, PROFESSIONS, RELATIONS, Relation

# Subjects are edited and asked about in sentences that do not begin with them too: no "The".
TITLES = ("Song", "House", "Book", "Garden", "Road", "Night", "Tale", "Island", "Winter", "Voice")


@dataclass(frozen=True)
class Size:
    """How many there are of each kind."""

    people: int = 1000
    works: int = 400
    cities: int = 100
    companies: int = 80
    countries: int = 16
    languages: int = 20


@dataclass(frozen=True)
class World:
    """What there is and what is true.

    Attributes:
        entities: Names by kind.
        aliases: Another name of each person.
        objects: By the relation's name and the subject, what follows.
    """

    entities: dict[str, tuple[str, ...]]
    aliases: dict[str, str]
    objects: dict[tuple[str, str], str]

    def subjects(self, relation: Relation) -> tuple[str, ...]:
        """Return all subjects of a relation."""
        return self.entities[relation.of]

    def object_of(self, relation: str, subject: str) -> str:
        """Return what is true of a subject."""
        return self.objects[relation, subject]


def make_world(seed: int, size: Size) -> World:
    """Make a world.

    Args:
        seed: The same seed and size give the same world.
        size: Of the world.
    """
    rng = Random(f"world {seed}")
    names = Names(rng)
    entities: dict[str, tuple[str, ...]] = {
        "country": tuple(names.word(2, "ia") for _ in range(size.countries)),
        "language": tuple(names.word(1, "ish") for _ in range(size.languages)),
        "city": tuple(names.word(2) for _ in range(size.cities)),
        "company": tuple(
            f"{names.word(2)} {rng.choice(('Works', 'Group', 'Mills', 'Trading'))}"
            for _ in range(size.companies)
        ),
        "profession": PROFESSIONS,
        "genre": GENRES,
    }
    # first names recur, as they do; a family name is that of one person
    first = [names.word(2) for _ in range(max(1, size.people // 10))]
    people = {f"{rng.choice(first)} {family}": family for family in
              (names.word(2) for _ in range(size.people))}  # fmt: skip
    entities["person"] = tuple(people)
    entities["work"] = tuple(f"{rng.choice(TITLES)} of {names.word(2)}" for _ in range(size.works))
    aliases = {
        person: f"{rng.choice(('Professor', 'Captain', 'Doctor'))} {family}"
        for person, family in people.items()
    }
    objects: dict[tuple[str, str], str] = {}
    for relation in RELATIONS:
        for subject in entities[relation.of]:
            if relation.through is None:
                objects[relation.name, subject] = rng.choice(entities[relation.to])
            else:
                one, two = relation.through
                objects[relation.name, subject] = objects[two, objects[one, subject]]
    return World(entities, aliases, objects)
