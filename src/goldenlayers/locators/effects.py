"""First-order effects of editing each fact, collected by what is asked: see `passes.edit_effects`.

Of each fact the probes are taken as the scores take them: rephrasings and portability with the new
answer that is wanted there, locality with what the unedited model itself says, because its score is
whether that stays. Means are over probes; of locality and portability first by kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from goldenlayers.facts.fact import Fact
from goldenlayers.locators.fences import Floats
from goldenlayers.metrics.baseline import FactBefore, baseline
from goldenlayers.metrics.probes import LOCALITY, REWRITE
from goldenlayers.models.sites import EditSite
from goldenlayers.models.subject import SubjectRow, subject_rows
from goldenlayers.models.text import Row
from goldenlayers.passes.batches import one_batch
from goldenlayers.passes.edit_effects import Anchors, EditEffects, edit_effects
from goldenlayers.progress import Progress, silent

BATCH_TOKENS = 1024


@dataclass(frozen=True)
class FactEffects:
    """What editing one fact would do, at L layers; NaN where no gradient arrives.

    Attributes:
        loss: Mean negative log-likelihood of the new answer, nats per token.
        need: (L,) length of the change that the value needs, in norms of the site's output.
        transfer: By name of the score, (L,): how far its rows are moved with the edited one; of
            locality the absolute value, as either direction does harm. "rewrite" is the edited row.
        bound: The same for the greatest possible movement.
        overlap: The same for the largest cosine of keys.
    """

    loss: float
    need: Floats
    transfer: Mapping[str, Floats]
    bound: Mapping[str, Floats]
    overlap: Mapping[str, Floats]


@dataclass(frozen=True)
class _Asked:
    """Rows of a fact: the edited one first."""

    edited: SubjectRow
    rows: tuple[Row, ...]
    labels: tuple[tuple[int, ...], ...]
    names: tuple[tuple[str, str], ...]  # score and kind of each row

    @property
    def tokens(self) -> int:
        return len(self.rows) * max(len(row.ids) - 1 for row in self.rows)


def fact_effects(
    model: Any,
    tokenizer: Any,
    sites: Sequence[EditSite],
    facts: Sequence[Fact],
    *,
    batch_tokens: int = BATCH_TOKENS,
    progress: Progress = silent,
) -> list[FactEffects]:
    """Predict what editing each fact, alone and at each layer, would do to all that is asked.

    Args:
        model: A causal language model, frozen and in evaluation mode (`untouched`).
        tokenizer: Its fast tokenizer.
        sites: Edit sites of the layers.
        facts: The facts.
        batch_tokens: Bound on the tokens of a batch, padding counted; a fact may exceed it alone.
        progress: Called with the facts done.

    Raises:
        FactError: If there are no facts, or a subject is not in its prompt.
    """
    before = baseline(
        model, tokenizer, facts, generate=False, fluency=False, progress=progress
    )  # in evaluation mode already
    asked = [_asked(tokenizer, fact, before.of(fact)) for fact in facts]
    found: list[FactEffects] = []
    group: list[_Asked] = []
    # in the facts' order: those of a data set are alike, and the order of the result is theirs
    for one in [*asked, None]:
        if group and (one is None or _tokens([*group, one]) > batch_tokens):
            found += _effects(model, sites, group)
            progress("effects", len(found), len(asked))
            group = []
        if one is not None:
            group.append(one)
    return found


def _asked(tokenizer: Any, fact: Fact, before: FactBefore) -> _Asked:
    (edited,) = subject_rows(tokenizer, [""], fact.prompt, fact.subject, fact.target_new)
    rows: list[Row] = [edited]
    labels, names = [edited.answer], [(REWRITE, "")]
    for question, reply in zip(before.asked, before.replies, strict=True):
        probe = question.probe
        if probe.kind != REWRITE and question.row is not None:
            rows.append(question.row)
            labels.append(reply.argmax if probe.kind == LOCALITY else question.row.answer)
            names.append((probe.kind, probe.subtype))
    return _Asked(edited, tuple(rows), tuple(labels), tuple(names))


def _tokens(group: Sequence[_Asked]) -> int:
    longest = max(len(row.ids) - 1 for one in group for row in one.rows)
    return longest * sum(len(one.rows) for one in group)


def _effects(model: Any, sites: Sequence[EditSite], group: Sequence[_Asked]) -> list[FactEffects]:
    device = model.device
    starts = np.cumsum([0, *(len(one.rows) for one in group)])
    batch = one_batch(
        [row for one in group for row in one.rows],
        [label for one in group for label in one.labels],
        device=device,
    )
    sizes = torch.tensor([len(one.rows) for one in group])
    anchors = Anchors(
        torch.tensor(starts[:-1]).repeat_interleave(sizes).to(device),
        torch.tensor([one.edited.subject for one in group]).repeat_interleave(sizes).to(device),
    )
    found = edit_effects(model, sites, batch, anchors)
    effects = EditEffects(*(getattr(found, f.name).cpu() for f in fields(found)))
    return [
        _of_fact(effects, int(start), one) for start, one in zip(starts[:-1], group, strict=True)
    ]


def _of_fact(effects: EditEffects, start: int, one: _Asked) -> FactEffects:
    here = slice(start, start + len(one.rows))
    transfer = effects.transfer[:, here].numpy()  # (L, rows)
    quiet = [i for i, (score, _) in enumerate(one.names) if score == LOCALITY]
    transfer[:, quiet] = np.abs(transfer[:, quiet])
    return FactEffects(
        float(effects.losses[start]),
        effects.need[:, start].numpy(),
        _by_score(transfer, one.names),
        _by_score(effects.bound[:, here].numpy(), one.names),
        _by_score(effects.overlap[:, here].numpy(), one.names),
    )


def _by_score(values: Floats, names: Sequence[tuple[str, str]]) -> dict[str, Floats]:
    """Means over the rows of each kind, then over kinds, by score: (L, rows) -> (L,) each."""
    found: dict[str, list[Floats]] = {}
    for name in dict.fromkeys(names):
        rows = [i for i, other in enumerate(names) if other == name]
        found.setdefault(name[0], []).append(values[:, rows].mean(1))
    return {score: np.mean(kinds, axis=0) for score, kinds in found.items()}
