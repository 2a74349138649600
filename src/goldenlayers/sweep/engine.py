"""Every fact edited at every layer, scored and undone: exactly, many at a time.

For ROME, MEMIT and their kin all layers of a fact, and several facts, are trained side by side in a
batch that grows from layer to layer, and all finished edits are scored in a batch of the same kind.
An editor that cannot do that, and a model that it does not suit, gets the plain loop: one edit
after another in the whole model. Both give the same outcomes.

For an editor that takes a window, a layer is the window that ends there
(`goldenlayers.sweep.windows`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch

from goldenlayers.editors.fact_value import PREFIX_REUSE, UNSUITED
from goldenlayers.editors.protocol import Editor, EditRequest, Solver
from goldenlayers.editors.run import require_editable
from goldenlayers.editors.site_editor import SiteEditor
from goldenlayers.editors.templates import Templates
from goldenlayers.editors.update import Update
from goldenlayers.editors.weights import updates_applied
from goldenlayers.facts.fact import Fact
from goldenlayers.metrics.baseline import Baseline, FactBefore
from goldenlayers.metrics.baseline import baseline as ask_unedited
from goldenlayers.metrics.predict import predict
from goldenlayers.metrics.replies import nll
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.batch_tokens import room_for
from goldenlayers.passes.memory import ran_out
from goldenlayers.passes.room import Room
from goldenlayers.progress import Say, quiet
from goldenlayers.sweep.attempt import Attempts
from goldenlayers.sweep.blocks import Block, parted
from goldenlayers.sweep.outcome import LayerOutcome
from goldenlayers.sweep.predict_edited import predict_edited, predict_plainly
from goldenlayers.sweep.scoring import layer_outcome, rows_of, unedited
from goldenlayers.sweep.solved import solve
from goldenlayers.sweep.windows import width_of, window_ending_at

GROWING, PLAIN = "growing batch", "plain loop"
# Tokens of a run, padding counted. All that a value's training keeps of one token is about 20 kB
# and layer at the bundled model's width, so that this is a few GB there.
BATCH_TOKENS = 2048


@dataclass(frozen=True)
class Sweep:
    """A way to edit, and the model to edit in.

    Attributes:
        model: A causal language model of transformers; returned as it came.
        tokenizer: Its fast tokenizer.
        sites: The edit sites of all layers that may be wanted, shallow first.
        editor: The editor.
        templates: Context templates.
        solvers: By layer, where a covariance is used.
        batch_tokens: Bound on the tokens of one run, a matter of memory and speed alone; None to
            choose, see `goldenlayers.passes.batch_tokens`.
        plain: Whether the plain loop is wanted.
        all_sites: The edit sites that windows reach down to, shallow first; empty if they are among
            `sites`.
        say: Called with a line when memory ran out and smaller runs are made.
    """

    model: Any
    tokenizer: Any
    sites: Sequence[EditSite]
    editor: Editor
    templates: Templates
    solvers: Mapping[int, Solver] = field(default_factory=dict)
    batch_tokens: int | None = None
    plain: bool = False
    all_sites: Sequence[EditSite] = ()
    say: Say = quiet

    @cached_property
    def room(self) -> Room:
        """The bound as it is now: what once did not fit is not tried again."""
        return room_for(self.model, self.batch_tokens, BATCH_TOKENS, self.say)

    def check(self, facts: Sequence[Fact]) -> None:
        """Look at all facts before the first is edited.

        Raises:
            FactError: If one cannot be edited.
            ModelError: If the tokenizer is not the model's.
        """
        require_editable(self.model, self.tokenizer, facts, self.editor, self.templates)

    def run(
        self,
        facts: Sequence[Fact],
        layers: Sequence[int] | None = None,
        *,
        baseline: Baseline | None = None,
    ) -> list[LayerOutcome]:
        """Edit each fact at each layer.

        Args:
            facts: The facts; all of them go side by side, so `blocks` is asked how many.
            layers: The layers, each the last of its window; None for all.
            baseline: What the unedited model says; asked if it is not given.

        Returns:
            An outcome per fact and layer.
        """
        start = time.perf_counter()
        wanted = None if layers is None else set(layers)
        windows = [self._window(s) for s in self.sites if wanted is None or s.layer in wanted]
        if baseline is None:
            baseline = ask_unedited(
                self.model, self.tokenizer, facts, generate=False, fluency=False
            )
        before = [baseline.of(fact) for fact in facts]
        reason = self._plain_reason()
        with untouched(self.model), torch.inference_mode(False):
            if reason is not None:
                return [
                    self._plainly(fact, window, asked, reason)
                    for fact, asked in zip(facts, before, strict=True)
                    for window in windows
                ]
            made = self._in_parts(facts, windows, before)
        depth = self.sites[-1].layer + 1
        return _with_shares(made, time.perf_counter() - start, depth)

    def blocks(
        self, facts: Sequence[Fact], layers: int, *, first_alone: bool = True
    ) -> list[Block]:
        """Part the facts into blocks that fill a run, rows of similar length together.

        Args:
            facts: The facts.
            layers: At how many layers each of them is edited.
            first_alone: Whether the first fact of middling length is a block alone, to measure what
                it takes.
        """
        if self._plain_reason() is not None:
            return [Block((fact,), 1.0 / len(facts)) for fact in facts]
        assert isinstance(self.editor, SiteEditor)
        tails = [
            (max(len(row.ids) - row.subject for row in rows.fed), len(rows.fed))
            for rows in self.editor.prepare(self._request(facts, self.sites[:1]))
        ]
        return parted(facts, tails, layers, self.room, first_alone=first_alone)

    def _window(self, site: EditSite) -> tuple[EditSite, ...]:
        return window_ending_at(site, self.all_sites or self.sites, width_of(self.editor))

    def _plain_reason(self) -> str | None:
        if self.plain:
            return PLAIN
        if not isinstance(self.editor, SiteEditor):
            return f"{PLAIN}: {type(self.editor).__name__} cannot train many layers side by side"
        return None

    def _request(self, facts: Sequence[Fact], sites: Sequence[EditSite]) -> EditRequest:
        return EditRequest(self.model, self.tokenizer, facts, sites, self.templates, self.solvers)

    def _in_parts(
        self,
        facts: Sequence[Fact],
        windows: Sequence[tuple[EditSite, ...]],
        before: Sequence[FactBefore],
    ) -> list[LayerOutcome]:
        """Edit all facts together; where memory does not bear that, in halves."""
        made = self.room.attempt(
            partial(self._together, facts, windows, before),
            self.room.tokens or BATCH_TOKENS,
            least="the rows of one fact" if len(facts) == 1 else None,
        )
        if made is not None:
            return made
        half = len(facts) // 2
        return [
            outcome
            for some in (slice(0, half), slice(half, None))
            for outcome in self._in_parts(facts[some], windows, before[some])
        ]

    def _together(
        self,
        facts: Sequence[Fact],
        windows: Sequence[tuple[EditSite, ...]],
        before: Sequence[FactBefore],
    ) -> list[LayerOutcome]:
        editor = self.editor
        assert isinstance(editor, SiteEditor)
        request = self._request(facts, ())
        rows = editor.prepare(request)
        solved = solve(editor, request, rows, windows, self.room)
        # the bare prompt with the new answer comes first: what the outcome tells of
        asked = [[r.bare, *rows_of(b)] for r, b in zip(rows, before, strict=True)]
        updates = {
            (f, w): one.updates
            for f, of_fact in enumerate(solved)
            for w, one in enumerate(of_fact)
            if one.updates
        }
        how = GROWING
        begins = list({window[0].layer: window[0] for window in windows}.values())
        try:
            predicted = predict_edited(self.model, begins, asked, updates, max_tokens=self.room)
        except UNSUITED as error:
            if ran_out(error):
                raise
            how = f"{GROWING}, scored by the {PLAIN}: {type(error).__name__} {error}"[:300]
            predicted = predict_plainly(self.model, asked, updates)
        made = []
        for f, fact in enumerate(facts):
            (clean,) = predict(self.model, [rows[f].bare])
            for w, window in enumerate(windows):
                site, solution = window[-1], solved[f][w].solution
                first, *rest = predicted.get((f, w)) or [clean, *unedited(before[f])]
                edited = solution.update is not None and first.argmax == rows[f].bare.answer
                outcome = editor.outcome(
                    fact, site, solution, nll(clean.log_probs), nll(first.log_probs), edited
                )
                by = str(solution.details.get("computed", PREFIX_REUSE))
                made.append(
                    layer_outcome(
                        outcome,
                        site,
                        before[f],
                        rest,
                        _norm(solved[f][w].updates),
                        how if by == PREFIX_REUSE else f"{how}, values by {by}",
                    )
                )
        return made

    def _plainly(
        self, fact: Fact, window: Sequence[EditSite], before: FactBefore, how: str
    ) -> LayerOutcome:
        start = time.perf_counter()
        updates, outcome = Attempts(self.editor, self._request((), window), {}).edit(fact)
        predictions = unedited(before)
        if updates:
            with updates_applied(self.model, updates):
                predictions = predict(self.model, rows_of(before))
        seconds = time.perf_counter() - start
        norm = _norm(updates)
        return layer_outcome(outcome, window[-1], before, predictions, norm, how, seconds)


def _norm(updates: Sequence[Update]) -> float:
    """Return the Frobenius norm of the changes of all the weights; 0 for none."""
    return math.hypot(*(update.norm for update in updates))


def _with_shares(made: Sequence[LayerOutcome], seconds: float, depth: int) -> list[LayerOutcome]:
    """Share the time of a batch among its edits, by the layers that each of their steps ran."""
    costs = [(o.steps + 1) * (depth - o.layer) for o in made]
    return [
        replace(o, seconds=seconds * cost / sum(costs)) for o, cost in zip(made, costs, strict=True)
    ]
