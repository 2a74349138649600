"""What a model predicts where an answer is fed: argmax and log-probability of each answer token.

Rows of one fact share their prompts: the old and the new answer after the same prompt, an answer
of one token that adds nothing to what is fed. A row whose fed tokens begin another row's is read
off that row, so nothing is computed twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from goldenlayers.models.text import Row, require_vocabulary
from goldenlayers.passes.answer_logits import answer_logits
from goldenlayers.passes.room import Room, in_pieces
from goldenlayers.passes.transfers import on_device

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
    model: Any, rows: Sequence[Row], *, max_tokens: int | Room = MAX_BATCH_TOKENS
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
        MemoryShortError: If memory does not suffice for one row alone.
    """
    require_vocabulary(model, [row.ids for row in rows])
    feed = feed_of(rows)
    out: list[Prediction | None] = [None] * len(rows)

    def run(group: list[int]) -> dict[int, Prediction]:
        place = {k: r for r, k in enumerate(group)}
        members = [i for i, k in enumerate(feed.host) if k in place]
        found = _predict_batch(
            model,
            [feed.fed[k] for k in group],
            [(place[feed.host[i]], rows[i]) for i in members],
        )
        return dict(zip(members, found, strict=True))

    room = Room.of(max_tokens)
    for _, predicted in in_pieces([len(fed) for fed in feed.fed], room, run):
        for i, prediction in predicted.items():
            out[i] = prediction
    return [p for p in out if p is not None]


@dataclass(frozen=True)
class Feed:
    """What must be fed so that every row's answer is predicted, nothing twice.

    Attributes:
        fed: Sequences of token ids.
        host: For each row, which of them its own fed tokens begin.
    """

    fed: tuple[tuple[int, ...], ...]
    host: tuple[int, ...]


def feed_of(rows: Sequence[Row]) -> Feed:
    """Return what must be fed for some rows; the last token of an answer need not."""
    fed = [row.ids[:-1] for row in rows]
    hosts = _hosts(fed)
    kept = sorted(set(hosts))
    return Feed(tuple(fed[h] for h in kept), tuple(kept.index(h) for h in hosts))


@dataclass(frozen=True)
class Picks:
    """Where answers are predicted, and which tokens are right there.

    Attributes:
        where: (row, column) of each distinct position, in the order of the logits.
        at: For each answer token of all rows, one after another, which of those predicts it.
        tokens: The answer tokens.
        lengths: How many each row has.
    """

    where: tuple[tuple[int, int], ...]
    at: tuple[int, ...]
    tokens: tuple[int, ...]
    lengths: tuple[int, ...]


def picks_of(members: Sequence[tuple[int, Row]]) -> Picks:
    """Return where the answers of some rows are predicted, each with the sequence it is fed by."""
    where: dict[tuple[int, int], int] = {}  # (row, column) -> position among the N logits
    picks = [
        (where.setdefault((r, t - 1), len(where)), row.ids[t])
        for r, row in members
        for t in range(row.n_prompt, len(row.ids))
    ]
    at, tokens = zip(*picks, strict=True)
    return Picks(tuple(where), at, tokens, tuple(len(row.answer) for _, row in members))


def read_off(logits: Tensor, picks: Picks) -> list[Prediction]:
    """Return what (N, V) logits at the picked positions predict, one prediction per row."""
    (found,) = read_all([logits], [picks])
    return found


def read_all(logits: Sequence[Tensor], picks: Sequence[Picks]) -> list[list[Prediction]]:
    """Do so for several sets of rows; the device is waited for twice, however many they are."""
    sent: dict[int, tuple[Tensor, Tensor]] = {}  # many edits are asked the same
    looked = []
    for seen, own in zip(logits, picks, strict=True):
        if id(own) not in sent:
            sent[id(own)] = on_device(own.at, seen.device), on_device(own.tokens, seen.device)
        looked.append(_looked(seen, *sent[id(own)]))
    argmax, log_probs = (torch.cat(x).tolist() for x in zip(*looked, strict=True))
    values = iter(zip(argmax, log_probs, strict=True))
    return [[_prediction(values, length) for length in own.lengths] for own in picks]


def _looked(logits: Tensor, at: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return the most likely token and the answer's log-probability, (A,) for A answer tokens."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits.argmax(-1)[at], logits[at, tokens] - logits.logsumexp(-1)[at]


def _prediction(values: Iterator[tuple[int, float]], length: int) -> Prediction:
    argmax, logs = zip(*(next(values) for _ in range(length)), strict=True)
    return Prediction(argmax, tuple(max(v, FLOOR) if math.isfinite(v) else FLOOR for v in logs))


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
    ids = on_device([[*row, *[row[-1]] * (T - len(row))] for row in fed], device)  # (R, T)
    picks = picks_of(members)
    rows, columns = on_device(picks.where, device).T  # (N,) each
    with answer_logits(model, rows, columns) as gathered:
        logits = gathered.pick(model(input_ids=ids, use_cache=False).logits)  # (N, V)
    return read_off(logits, picks)
