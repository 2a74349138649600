"""What a model predicts where an answer is fed: argmax and log-probability of each answer token.

Rows of one fact share their prompts: the old and the new answer after the same prompt, an answer
of one token that adds nothing to what is fed. A row whose fed tokens begin another row's is read
off that row, so nothing is computed twice.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from goldenlayers.models.text import Row, require_vocabulary
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.batches import plan

MAX_BATCH_TOKENS = 1024
# Stands for a log-probability that is not finite, nats: what an edit that breaks the model leaves
# is counted as very bad, and neither drops out of a mean nor spoils it.
FLOOR = -1e4


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model predicts at the answer positions of one row.

    Attributes:
        argmax: The most likely token at each answer position, the right prefix fed.
        log_probs: Log-probability of each answer token, nats, no lower than `FLOOR`.
    """

    argmax: tuple[int, ...]
    log_probs: tuple[float, ...]


@torch.no_grad()
def predict(
    model: Any, rows: Sequence[Row], *, max_tokens: int = MAX_BATCH_TOKENS
) -> list[Prediction]:
    """Feed rows and look at their answer positions.

    Args:
        model: A causal language model of transformers, in evaluation mode.
        rows: Prompts with answers.
        max_tokens: Bound on the tokens of a batch, padding counted.

    Returns:
        One prediction per row, in order; softmax in float32 or wider.

    Raises:
        ModelError: If a token lies beyond the model's vocabulary.
    """
    require_vocabulary(model, [row.ids for row in rows])
    guests = defaultdict(list)
    for i, host in enumerate(_hosts([row.ids[:-1] for row in rows])):
        guests[host].append(i)
    hosts = sorted(guests)
    out: list[Prediction | None] = [None] * len(rows)
    for group in plan([len(rows[h].ids) - 1 for h in hosts], max_tokens):
        members = [(r, i) for r, k in enumerate(group) for i in guests[hosts[k]]]
        fed = [rows[hosts[k]].ids[:-1] for k in group]
        found = _predict_batch(model, fed, [(r, rows[i]) for r, i in members])
        for (_, i), prediction in zip(members, found, strict=True):
            out[i] = prediction
    return [p for p in out if p is not None]


def _hosts(fed: Sequence[tuple[int, ...]]) -> list[int]:
    """Return for each sequence the index of one that begins with it, itself if there is no longer.

    In lexicographic order all sequences that begin with x follow x at once, so a look at the next
    one is enough, from the last to the first.
    """
    order = sorted(range(len(fed)), key=lambda i: fed[i])
    hosts = list(range(len(fed)))
    for this, following in zip(order[-2::-1], order[:0:-1], strict=True):
        if fed[following][: len(fed[this])] == fed[this]:
            hosts[this] = hosts[following]
    return hosts


def _predict_batch(
    model: Any, fed: Sequence[tuple[int, ...]], members: Sequence[tuple[int, Row]]
) -> list[Prediction]:
    device = model.device
    T = max(map(len, fed))
    # padding to the right repeats a real token; under causal attention no real token sees it
    ids = torch.tensor([[*row, *[row[-1]] * (T - len(row))] for row in fed], device=device)  # (R,T)
    where: dict[tuple[int, int], int] = {}  # (row, column) -> position among the N logits
    picks = [
        (where.setdefault((r, t - 1), len(where)), row.ids[t])
        for r, row in members
        for t in range(row.n_prompt, len(row.ids))
    ]
    rows, columns = torch.tensor(list(where), device=device).T  # (N,) each
    with answer_logits(model, rows, columns) as gathered:
        logits = gathered.pick(model(input_ids=ids, use_cache=False).logits)  # (N, V)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    best = logits.argmax(-1)  # (N,)
    at, tokens = torch.tensor(picks, device=logits.device).T  # (A,) each, A answer tokens
    log_probs = logits[at, tokens] - logits.logsumexp(-1)[at]  # (A,)
    values = iter(zip(best[at].tolist(), log_probs.tolist(), strict=True))
    out = []
    for _, row in members:
        argmax, logs = zip(*(next(values) for _ in row.answer), strict=True)
        out.append(
            Prediction(argmax, tuple(max(v, FLOOR) if math.isfinite(v) else FLOOR for v in logs))
        )
    return out
