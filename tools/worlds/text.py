"""What a model reads of its world, and what it is asked afterwards.

Of the phrasings of a fact those after the first are parted by chance, fact by fact: some are in the
text, `HELD_OUT` of them are not and become its rephrasings. The others' phrasings teach the model
what they mean. Under another name of a person each fact is stated in the first phrasing alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from relations import RELATIONS, Relation
from world import World

from goldenlayers.facts import Fact
from goldenlayers.facts.fact import LocalityProbe, PortabilityProbe

HELD_OUT = 2
PROXY_SHARE = 0.4
PROBES = 2  # of a kind


@dataclass(frozen=True)
class Statement:
    """A fact of a world.

    Attributes:
        relation: The relation.
        subject: The subject.
        object: What is true.
        told: Phrasings in the text, the first of them first.
        kept: Phrasings that the text does not have.
    """

    relation: Relation
    subject: str
    object: str
    told: tuple[str, ...]
    kept: tuple[str, ...]


def statements(world: World, seed: int) -> list[Statement]:
    """Return all facts of a world with their phrasings parted."""
    rng = Random(f"phrasings {seed}")
    out = []
    for relation in RELATIONS:
        first, *others = relation.phrasings
        for subject in world.subjects(relation):
            mixed = rng.sample(others, len(others))
            n = HELD_OUT if relation.through is None else 0
            out.append(
                Statement(
                    relation, subject, world.object_of(relation.name, subject),
                    (first, *mixed[n:]), tuple(mixed[:n]),
                )
            )  # fmt: skip
    return out


def sentences(world: World, stated: list[Statement]) -> list[str]:
    """Return the text, one sentence each: every fact in every phrasing that is told."""
    out = []
    for one in stated:
        out += [f"{p.format(one.subject)} {one.object}." for p in one.told]
        if one.relation.through is None and one.subject in world.aliases:
            alias = world.aliases[one.subject]
            out.append(f"{one.told[0].format(alias)} {one.object}.")
    return out


def facts(world: World, stated: list[Statement], seed: int) -> list[Fact]:
    """Return an edit request for every fact that does not follow from others.

    Rephrasings are those that the text does not have. Locality: the same relation of other
    subjects, and other facts of the subject. Portability: what follows from the new object, and the
    person's other name.
    """
    rng = Random(f"facts {seed}")
    out = []
    by_subject: dict[str, list[Statement]] = {}
    for one in stated:
        by_subject.setdefault(one.subject, []).append(one)
    by_relation: dict[str, list[Statement]] = {}
    for one in stated:
        by_relation.setdefault(one.relation.name, []).append(one)
    for one in stated:
        if one.relation.through is not None:
            continue
        others = [o for o in world.entities[one.relation.to] if o != one.object]
        new = rng.choice(others)
        follows = [
            s for s in by_subject[one.subject]
            if s.relation.through and s.relation.through[0] == one.relation.name
        ]  # fmt: skip
        beside = [
            s for s in by_subject[one.subject]
            if s.relation is not one.relation and s not in follows
        ]  # fmt: skip
        near = [s for s in rng.sample(by_relation[one.relation.name], PROBES + 1) if s is not one]
        portability = {}
        if follows:
            portability["reasoning"] = tuple(
                PortabilityProbe(s.told[0].format(one.subject), (world.object_of(_second(s), new),))
                for s in follows
            )
        if one.subject in world.aliases:
            asked = one.told[0].format(world.aliases[one.subject])
            portability["subject_aliasing"] = (PortabilityProbe(asked, (new,)),)
        locality = {"same_relation": tuple(map(_probe, near[:PROBES]))}
        if beside:
            some = rng.sample(beside, min(PROBES, len(beside)))
            locality["same_subject"] = tuple(map(_probe, some))
        out.append(
            Fact(
                f"{one.relation.name}-{one.subject}".replace(" ", "_"),
                one.subject, one.told[0].format(one.subject), new, one.object,
                rephrase_prompts=tuple(p.format(one.subject) for p in one.kept),
                locality=locality, portability=portability,
                split="proxy" if rng.random() < PROXY_SHARE else "test",
            )
        )  # fmt: skip
    rng.shuffle(out)
    return out


def _second(statement: Statement) -> str:
    assert statement.relation.through is not None
    return statement.relation.through[1]


def _probe(statement: Statement) -> LocalityProbe:
    return LocalityProbe(statement.told[0].format(statement.subject), statement.object)
