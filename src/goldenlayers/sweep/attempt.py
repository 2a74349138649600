"""One edit of many: what is shared is made once, and a fact that fails does not end the study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.editors.edit import Outcome, Update
from goldenlayers.editors.given_covariance import moments_of, solvers_of
from goldenlayers.editors.protocol import Editor, EditRequest
from goldenlayers.editors.run import describe
from goldenlayers.editors.templates import Templates
from goldenlayers.editors.weights import updates_applied
from goldenlayers.editors.which_layer import resolve_layer
from goldenlayers.errors import EditError
from goldenlayers.facts.fact import Fact
from goldenlayers.models.chat import chat_setting
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.sweep.windows import width_of, window_ending_at


@dataclass(frozen=True)
class Unchecked:
    """Updates on the model that they were made on: no hash of its weights each time.

    Attributes:
        updates: What is added to the weights; may be none.
    """

    updates: tuple[Update, ...]

    def applied(self, model: Any) -> AbstractContextManager[None]:
        """Hold `model` edited while open."""
        return updates_applied(model, self.updates)


@dataclass(frozen=True)
class Attempts:
    """Edits at one layer of a model, or at the window that ends there.

    Attributes:
        editor: The editor.
        request: All that it is given but the fact.
        settings: Every setting that has a say, ready for JSON.
    """

    editor: Editor
    request: EditRequest
    settings: Mapping[str, Any]

    @classmethod
    def at(
        cls,
        model: Any,
        tokenizer: Any,
        layer: int,
        editor: Editor,
        templates: Templates,
        covariance: Mapping[int, KeyMoment] | None,
        site: str | None,
        seed: int,
    ) -> Attempts:
        """Prepare edits at a layer; the covariance is read and factored here, once.

        Raises:
            SettingsError: If there is no such layer, or the covariance does not have it.
        """
        last, _ = resolve_layer(model, tokenizer, layer, site, seed)
        where = window_ending_at(last, find_sites(model, site), width_of(editor))
        moments = moments_of(covariance, where, model, tokenizer, editor)
        solvers = solvers_of(moments, editor)
        request = EditRequest(model, tokenizer, (), where, templates, solvers)
        settings = describe(editor, where, templates, moments, site, seed)
        return cls(editor, request, settings | chat_setting(tokenizer))

    def edit(self, fact: Fact) -> tuple[tuple[Update, ...], Outcome]:
        """Edit one fact into the model as it stands; the model is returned as it came.

        Where no finite update exists, as in a model that earlier edits have broken, there is none,
        and the outcome says why.
        """
        try:
            with untouched(self.request.model):
                made = self.editor.edit(replace(self.request, facts=[fact]))
        except EditError as error:
            reason = f"no update was made: {error}"
            return (), Outcome(fact, (), "not converged", reason, math.nan, math.nan, False)
        return made.updates, made.outcomes[0]


def outcome_records(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Return what became of each fact, ready for JSON."""
    return [
        {
            "id": o.fact.id,
            "status": o.status,
            "reason": o.reason,
            "nll_before": o.nll_before,
            "nll_after": o.nll_after,
            "loss": o.steps[-1].loss if o.steps else None,
        }
        for o in outcomes
    ]
