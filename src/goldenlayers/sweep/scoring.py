"""From what a model says with an edit on to the outcome of that edit."""

from __future__ import annotations

from collections.abc import Sequence

from goldenlayers.editors.outcome import Outcome
from goldenlayers.metrics.baseline import FactBefore
from goldenlayers.metrics.predict import Prediction
from goldenlayers.metrics.replies import Answered, Reply
from goldenlayers.metrics.scores import fact_scores
from goldenlayers.models.sites import EditSite
from goldenlayers.models.text import Row
from goldenlayers.sweep.outcome import SCORES, LayerOutcome


def rows_of(before: FactBefore) -> list[Row]:
    """Return what a fact's probes feed: the answers, then the rivals where there are any."""
    rows = [q.row for q in before.asked if q.row is not None]
    return [*rows, *(q.rival for q in before.asked if q.rival is not None)]


def unedited(before: FactBefore) -> list[Prediction]:
    """Return what the unedited model predicts at `rows_of`."""
    own = [Prediction(r.argmax, r.log_probs) for r in before.replies]
    # of a rival the log-probabilities alone are kept, and asked for
    rivals = [Prediction((), r.rival_log_probs) for r in before.replies if r.rival_log_probs]
    return [*own, *rivals]


def layer_outcome(
    outcome: Outcome,
    site: EditSite,
    before: FactBefore,
    predictions: Sequence[Prediction],
    update_norm: float,
    computed: str,
    seconds: float = 0.0,
) -> LayerOutcome:
    """Score an edit.

    Args:
        outcome: What the editor says of it.
        site: Where it was made; of a window, the last.
        before: The fact's probes, and what the unedited model says.
        predictions: What the edited model predicts at `rows_of(before)`.
        update_norm: Frobenius norm of the change of the weights.
        computed: How it was computed.
        seconds: How long it took.
    """
    own = predictions[: len(before.asked)]
    rivals = iter(predictions[len(own) :])
    answered = []
    for question, old, new in zip(before.asked, before.replies, own, strict=True):
        rival = next(rivals).log_probs if question.rival is not None else None
        reply = Reply(new.argmax, new.log_probs, rival)
        answered.append(Answered(question, old, reply).without_text())
    scores = fact_scores(answered, None)
    return LayerOutcome(
        fact=outcome.fact.id,
        layer=site.layer,
        status=outcome.status,
        reason=outcome.reason,
        nll_before=outcome.nll_before,
        nll_after=outcome.nll_after,
        rewritten=outcome.rewritten,
        steps=len(outcome.steps),
        update_norm=update_norm,
        scores={name: scores[name] for name in SCORES},
        seconds=seconds,
        computed=computed,
    )
