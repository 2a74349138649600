"""A fact becomes rows: its prompt in every template, and "{subject} is a"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from goldenlayers.editors.value import Targets
from goldenlayers.errors import FactError
from goldenlayers.facts.fact import Fact
from goldenlayers.models.sites import context_length
from goldenlayers.models.subject import SubjectRow, subject_rows
from goldenlayers.models.text import require_vocabulary
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.rows import Reads

WORST = 1e4  # nats per token, of a model that is broken; JSON has no infinity
ESSENCE = "{} is a"  # ROME's KL prompt: what the subject is must not change


@dataclass(frozen=True)
class FactRows:
    """Rows of one fact, as they are fed.

    Attributes:
        bare: Prompt and new answer without a template, whole.
        fed: The rows without their last answer token, from which nothing is predicted; one per
            template, bare prompt first, and the KL prompt last where there is one.
        n_templates: How many of them are templates.
        reads: Positions read: those that predict answer tokens, then the KL prompt's last.
        targets: What they shall predict.
    """

    bare: SubjectRow
    fed: tuple[SubjectRow, ...]
    n_templates: int
    reads: Reads
    targets: Targets


def fact_rows(
    model: Any,
    tokenizer: Any,
    fact: Fact,
    prefixes: Sequence[str],
    *,
    occurrence: str = "last",
    with_kl: bool = True,
) -> FactRows:
    """Tokenise a fact for editing.

    Args:
        model: The model, for its device, context and vocabulary.
        tokenizer: Its fast tokenizer.
        fact: The fact.
        prefixes: Of the templates, "" first.
        occurrence: Which occurrence of the subject counts.
        with_kl: Whether the KL prompt is wanted.

    Raises:
        FactError: If the subject is not in the prompt, or a row is longer than the model's context.
    """
    rows = subject_rows(
        tokenizer, prefixes, fact.prompt, fact.subject, fact.target_new, occurrence=occurrence
    )
    subject = fact.subject.strip()
    kl = subject_rows(
        tokenizer, [""] * with_kl, ESSENCE.format(subject), subject, None, occurrence="first"
    ) if with_kl else []  # fmt: skip
    require_vocabulary(model, [r.ids for r in (*rows, *kl)])
    limit = context_length(model)
    longest = max(len(r.ids) for r in (*rows, *kl))
    if limit is not None and longest > limit:
        raise FactError(
            f"fact {fact.id!r}: {longest} tokens with its longest template, the model's context is "
            f"{limit}; shorten the prompt, or choose shorter templates"
        )
    device = model.device
    where = [(r, t - 1, row.ids[t]) for r, row in enumerate(rows)
             for t in range(row.n_prompt, len(row.ids))]  # fmt: skip
    weights = [1.0 / (len(rows) * len(rows[r].answer)) for r, _, _ in where]
    reads = [(r, t) for r, t, _ in where] + [(len(rows), len(row.ids) - 1) for row in kl]
    return FactRows(
        bare=rows[0],
        fed=(*(replace(row, ids=row.ids[:-1]) for row in rows), *kl),
        n_templates=len(rows),
        reads=Reads(
            torch.tensor([r for r, _ in reads], device=device),
            torch.tensor([t for _, t in reads], device=device),
        ),
        targets=Targets(
            torch.tensor([label for _, _, label in where], device=device),
            torch.tensor(weights, dtype=torch.float64),
            has_kl=bool(kl),
        ),
    )


def merged(facts: Sequence[FactRows]) -> FactRows:
    """Return the rows of several facts of one subject as those of one, for one shared value.

    Each fact weighs the same; the KL prompt, which is the subject's, stands once. `bare` is the
    first one's.
    """
    if len(facts) == 1:
        return facts[0]
    fed: list[SubjectRow] = []
    parts: list[tuple[torch.Tensor, torch.Tensor]] = []
    for rows in facts:
        n = len(rows.targets.labels)  # the answers' positions come first
        parts.append((rows.reads.rows[:n] + len(fed), rows.reads.columns[:n]))
        fed += rows.fed[: rows.n_templates]
    n_templates, has_kl = len(fed), facts[0].targets.has_kl
    if has_kl:
        kl = facts[0].fed[-1]
        device = parts[0][0].device
        last = (n_templates, len(kl.ids) - 1)
        parts.append((torch.tensor(last[:1], device=device), torch.tensor(last[1:], device=device)))
        fed.append(kl)
    return FactRows(
        bare=facts[0].bare,
        fed=tuple(fed),
        n_templates=n_templates,
        reads=Reads(*(torch.cat(xs) for xs in zip(*parts, strict=True))),
        targets=Targets(
            torch.cat([rows.targets.labels for rows in facts]),
            torch.cat([rows.targets.weights for rows in facts]) / len(facts),
            has_kl=has_kl,
        ),
    )


@torch.no_grad()
def answer_fit(model: Any, rows: FactRows) -> tuple[float, bool]:
    """Ask the model as it stands for the new answer after the bare prompt.

    Returns:
        The answer's mean negative log-likelihood, nats per token (`WORST` where it is not finite),
        and whether each of its tokens is the most likely one.
    """
    row = rows.bare
    ids = torch.tensor([row.ids[:-1]], device=model.device)  # (1, T)
    columns = torch.arange(row.n_prompt - 1, len(row.ids) - 1, device=model.device)
    with answer_logits(model, torch.zeros_like(columns), columns) as gathered:
        logits = gathered.pick(model(input_ids=ids, use_cache=False).logits)  # (N, V)
    wanted = torch.tensor(row.answer, device=model.device)
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    nll = float(torch.nn.functional.cross_entropy(wide, wanted))
    fits = bool((logits.argmax(-1) == wanted).all())
    return (nll, fits) if math.isfinite(nll) else (WORST, False)
