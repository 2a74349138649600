"""The protocol of editors: facts and layers in, factors and outcomes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from torch import Tensor

from goldenlayers.editors.edit import Outcome, Update
from goldenlayers.editors.outcome import Step
from goldenlayers.editors.templates import Templates
from goldenlayers.facts.fact import Fact
from goldenlayers.models.sites import EditSite
from goldenlayers.progress import Progress, silent

# Called after each evaluation of a value's loss, with the delta (d_out,) that it was evaluated at.
OnStep = Callable[[Step, Tensor], None]


def ignore_step(step: Step, delta: Tensor) -> None:
    """Take no notice."""


class Solver(Protocol):
    """Solves C u = k for the covariance C of one site's keys."""

    def solve(self, k: Tensor) -> Tensor:
        """Return u, (d_in,), for k, (d_in,)."""
        ...


@dataclass(frozen=True)
class EditRequest:
    """What an editor is given.

    Attributes:
        model: A causal language model, frozen and in evaluation mode while the editor runs.
        tokenizer: Its fast tokenizer.
        facts: The facts, edited in this order, each into the model as the ones before left it.
        sites: Edit sites of the layers to edit, shallow first.
        templates: Context templates.
        solvers: By layer, where a covariance is used; else empty. What each is, is the editor's
            own business: see its `solver`.
        earlier: By the site's name, the keys (d_in, m) of edits that are on the model and must not
            be disturbed, for editors that heed them.
        progress: Called with a stage, items done and their total.
        on_step: Called after each evaluation of a value's loss.
    """

    model: Any
    tokenizer: Any
    facts: Sequence[Fact]
    sites: Sequence[EditSite]
    templates: Templates
    solvers: Mapping[int, Any] = field(default_factory=dict)
    earlier: Mapping[str, Tensor] = field(default_factory=dict)
    progress: Progress = silent
    on_step: OnStep = ignore_step


@dataclass(frozen=True)
class Edited:
    """What an editor returns: one update per site that it changed, one outcome per fact."""

    updates: tuple[Update, ...]
    outcomes: tuple[Outcome, ...]


class Editor(Protocol):
    """A way to edit.

    Editors are frozen dataclasses: their fields are the settings, and are recorded with the result.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    name: ClassVar[str]

    def edit(self, request: EditRequest) -> Edited:
        """Edit the facts; the request's model is as it was when this returns or raises."""
        ...
