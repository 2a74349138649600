"""CounterFact (ROME, arXiv 2202.05262): as published, and flattened as EasyEdit has it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from goldenlayers.facts.fact import Fact, LocalityProbe, PortabilityProbe
from goldenlayers.facts.formats.base import (
    Built,
    Format,
    Notes,
    Record,
    answers,
    filled,
    label,
    required,
    some_answers,
    subject_in,
    texts,
)
from goldenlayers.facts.validate import RecordError, check_text, kind_of

PORTABILITY = "portability"
# CounterFact's neighbourhood: other subjects of which the old answer is true
NEIGHBOURHOOD = "neighborhood"
_QUESTION, _ANSWER = "New Question", "New Answer"


def build(record: Record, number: int) -> Built:
    """Return the fact of a published record."""
    required(record, ("case_id", "requested_rewrite"))
    request = record["requested_rewrite"]
    if not isinstance(request, dict):
        raise RecordError(f"field 'requested_rewrite' is {kind_of(request)}; expected an object")
    notes = Notes()
    subject = check_text(request.get("subject"), "requested_rewrite.subject")
    template = check_text(request.get("prompt"), "requested_rewrite.prompt")
    new = _target(request, "target_new")
    old = _target(request, "target_true")
    neighbours = texts(record.get("neighborhood_prompts"), "neighborhood_prompts")
    fact = Fact(
        id=label(record["case_id"], "case_id"),
        subject=subject,
        prompt=filled(template, subject, "requested_rewrite.prompt"),
        target_new=new,
        target_old=old,
        rephrase_prompts=texts(record.get("paraphrase_prompts"), "paraphrase_prompts"),
        locality=_neighbourhood(neighbours, (old,)),
        portability=one_hop(record.get(PORTABILITY), notes),
    )
    return Built(fact, tuple(notes.texts))


def build_flat(record: Record, number: int) -> Built:
    """Return the fact of a flattened record."""
    required(record, ("case_id", "subject", "prompt", "target_new", "ground_truth"))
    notes = Notes()
    prompt = check_text(record["prompt"], "prompt")
    new = some_answers(record["target_new"], "target_new")
    neighbours = texts(record.get("locality_prompt"), "locality_prompt")
    true = answers(record.get("locality_ground_truth"), "locality_ground_truth")
    fact = Fact(
        id=label(record["case_id"], "case_id"),
        subject=subject_in(check_text(record["subject"], "subject"), prompt, notes),
        prompt=prompt,
        target_new=new[0],
        target_old=some_answers(record["ground_truth"], "ground_truth")[0],
        aliases=new[1:],
        rephrase_prompts=texts(record.get("rephrase_prompt"), "rephrase_prompt"),
        locality=_neighbourhood(neighbours, true),
        portability=one_hop(record.get(PORTABILITY), notes),
    )
    return Built(fact, tuple(notes.texts))


def one_hop(value: object, notes: Notes) -> Mapping[str, tuple[PortabilityProbe, ...]]:
    """Return the portability question that EasyEdit added: one, its kind the name of its field.

    Raises:
        RecordError: If it is anything else.
    """
    if value is None or value == {}:
        return MappingProxyType({})
    if not isinstance(value, dict):
        raise RecordError(f"field '{PORTABILITY}' is {kind_of(value)}; expected an object")
    required(value, (_QUESTION, _ANSWER))
    found = answers(value[_ANSWER], f"{PORTABILITY}.{_ANSWER}")
    if not found:
        notes.add(f"'{PORTABILITY}.{_ANSWER}' is empty, and the question is left out")
        return MappingProxyType({})
    question = value[_QUESTION]
    if isinstance(question, str) and not question.strip():
        notes.add(f"'{PORTABILITY}.{_QUESTION}' is blank, and the question is left out")
        return MappingProxyType({})
    prompt = check_text(question, f"{PORTABILITY}.{_QUESTION}")
    return MappingProxyType({_QUESTION: (PortabilityProbe(prompt, found),)})


def _target(request: Mapping[str, object], name: str) -> str:
    value = request.get(name)
    text = value.get("str") if isinstance(value, dict) else value
    return check_text(text, f"requested_rewrite.{name}.str")


def _neighbourhood(
    prompts: tuple[str, ...], true: tuple[str, ...]
) -> Mapping[str, tuple[LocalityProbe, ...]]:
    answer, aliases = (true[0], true[1:]) if true else (None, ())
    probes = tuple(LocalityProbe(text, answer, aliases) for text in prompts)
    return MappingProxyType({NEIGHBOURHOOD: probes} if probes else {})


COUNTERFACT = Format(
    name="counterfact",
    title="CounterFact",
    required=("case_id", "requested_rewrite"),
    optional=("paraphrase_prompts", "neighborhood_prompts", PORTABILITY),
    build=build,
    own_ids=True,
)
COUNTERFACT_FLAT = Format(
    name="counterfact-flat",
    title="CounterFact, flattened by EasyEdit",
    required=("case_id", "subject", "prompt", "target_new", "ground_truth"),
    optional=("rephrase_prompt", "locality_prompt", "locality_ground_truth", PORTABILITY),
    build=build_flat,
    own_ids=True,
)
