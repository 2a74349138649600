"""Keys, outputs and the trained values of facts at edit sites, prefix reuse where it works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from goldenlayers.editors.edit import Step
from goldenlayers.editors.fact_rows import FactRows
from goldenlayers.editors.training import Training, train_values
from goldenlayers.editors.value import MismatchError, Value, ValueSettings, Wanted
from goldenlayers.errors import EditError
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.hooked import hooked
from goldenlayers.passes.memory import ran_out
from goldenlayers.passes.replay import Group, Replay, add_at_start
from goldenlayers.passes.room import Room
from goldenlayers.passes.rows import Clean, Reads
from goldenlayers.passes.transfers import fetched
from goldenlayers.passes.whole_rows import WholeRows

# v0: the site's output for the bare prompt, its mean over templates, or the residual stream behind
# the site's block for the bare prompt (then only the norm of v0 has a say)
VALUES_FROM = ("prompt", "mean", "stream")
PREFIX_REUSE, WHOLE_ROWS = "prefix reuse", "whole rows"
# What a model that the cache does not suit may raise. Running out of memory may be a RuntimeError
# too (`goldenlayers.passes.memory.ran_out`), and is let through: whole rows need more.
UNSUITED = (MismatchError, RuntimeError, TypeError, ValueError, AttributeError, KeyError)

# Called after each evaluation of a loss: number of the fact, number of the site, step, delta.
OnSiteStep = Callable[[int, int, Step, Tensor], None]


def ignore_site_step(fact: int, site: int, step: Step, delta: Tensor) -> None:
    """Take no notice."""


@dataclass(frozen=True)
class Beside:
    """A delta at another module of the site's block, trained together with the site's.

    Attributes:
        module: Names the module, of a model and a site. Its v0 is what it gives for the bare
            prompt.
        training: How the two are trained: v0 and delta are (2, d_out), the site's first.
    """

    module: Callable[[Any, EditSite], str]
    training: type[Training]


@dataclass(frozen=True)
class FactValue:
    """What an update is made of.

    Attributes:
        keys: (templates, d_in) inputs of the site at the subject's last token, bare prompt first;
            float32 or wider.
        outputs: (templates, d_out) its outputs there, bias included; the same dtype.
        v0: (d_out,) what delta is measured by, see `VALUES_FROM`.
        value: The trained delta.
        computed: "prefix reuse" or "whole rows", and why.
        clean_tokens: Tokens of the fact that went through the whole model once.
        step_tokens: Tokens that each step computes at each layer from the site up.
    """

    keys: Tensor
    outputs: Tensor
    v0: Tensor
    value: Value
    computed: str
    clean_tokens: int
    step_tokens: int

    def details(self) -> dict[str, Any]:
        """Return what an outcome tells of it, ready for JSON."""
        return {
            "computed": self.computed,
            "tokens": {"clean_pass": self.clean_tokens, "each_step": self.step_tokens},
            "value_norm": float(self.value.delta.norm()),
            "v0_norm": float(self.v0.norm()),
        }


def fact_values(
    model: Any,
    sites: Sequence[EditSite],
    facts: Sequence[FactRows],
    settings: ValueSettings,
    *,
    value_from: str,
    prefix_reuse: bool,
    max_tokens: int | Room | None = None,
    beside: Beside | None = None,
    on_step: OnSiteStep = ignore_site_step,
) -> list[list[FactValue]]:
    """Train the values of some facts at some sites, all of them side by side.

    Args:
        model: The model, frozen and in evaluation mode.
        sites: The edit sites, shallow first.
        facts: The facts' rows.
        settings: How the values are trained.
        value_from: One of `VALUES_FROM`.
        prefix_reuse: Whether to try it; a model that it does not suit is run the plain way.
        max_tokens: Bound on the tokens of one run, padding counted; None for no bound.
        beside: What is trained together with the site's delta, which alone is returned.
        on_step: Called after each evaluation of a loss; what it raises goes through.

    Returns:
        Per fact, one value per site.

    Raises:
        EditError: If the model gives numbers that are not finite before anything is changed.
        MemoryShortError: If memory does not suffice for one value alone.
    """
    how = WHOLE_ROWS
    if prefix_reuse:
        try:
            return _replayed(
                model, sites, facts, settings, value_from, max_tokens, beside, _guarded(on_step)
            )
        except _CallerError as error:
            raise error.cause from None
        except UNSUITED as error:
            if ran_out(error):
                raise
            if len(facts) > 1:  # each by itself: it may be one of them alone
                return [
                    fact_values(
                        model, sites, [rows], settings, value_from=value_from, prefix_reuse=True,
                        max_tokens=max_tokens, beside=beside,
                        on_step=lambda _, *rest, f=f: on_step(f, *rest),
                    )[0]
                    for f, rows in enumerate(facts)
                ]  # fmt: skip
            how = f"{WHOLE_ROWS}, because prefix reuse failed: {type(error).__name__} {error}"[:300]
    return [
        _whole(model, sites, rows, settings, value_from, beside, partial(on_step, f), how)
        for f, rows in enumerate(facts)
    ]


class _CallerError(Exception):
    """An error of the caller's own `on_step`, which must not be taken for one of ours."""

    def __init__(self, cause: Exception):
        self.cause = cause


def _guarded(on_step: OnSiteStep) -> OnSiteStep:
    def call(fact: int, site: int, step: Step, delta: Tensor) -> None:
        try:
            on_step(fact, site, step, delta)
        except Exception as error:
            raise _CallerError(error) from error

    return call


def _replayed(
    model: Any, sites: Sequence[EditSite], facts: Sequence[FactRows], settings: ValueSettings,
    value_from: str, max_tokens: int | Room | None, beside: Beside | None, on_step: OnSiteStep,
) -> list[list[FactValue]]:  # fmt: skip
    starts = [sum(len(rows.fed) for rows in facts[:f]) for f in range(len(facts))]
    reads = Reads(
        torch.cat([rows.reads.rows + n for rows, n in zip(facts, starts, strict=True)]),
        torch.cat([rows.reads.columns for rows in facts]),
    )
    fed = [row for rows in facts for row in rows.fed]
    others = _others(model, sites, beside)
    with hooked(model, fed, [name for names in others for name in names]) as theirs:
        replay = Replay(model, sites, fed, reads)
    clean = replay.clean
    _require_finite(clean)
    parts = [
        replay.part(range(n, n + len(rows.fed))) for rows, n in zip(facts, starts, strict=True)
    ]
    units = [(f, s) for s in range(len(sites)) for f in range(len(facts))]  # shallow first
    seen = {(f, s): _seen(clean, s, starts[f], facts[f], value_from) for f, s in units}

    def group(f: int, s: int, delta: Tensor) -> Group:
        names = (sites[s].name, *others[s])
        added = zip(names, delta.view(len(names), -1), strict=True)
        return Group(sites[s].layer, parts[f], {name: add_at_start(d) for name, d in added})

    def run(active: Sequence[int], deltas: Sequence[Tensor]) -> list[Tensor]:
        return replay.logits([group(*units[i], d) for i, d in zip(active, deltas, strict=True)])

    aims = {(f, s): _joined(seen[f, s][2], [theirs[n][starts[f]] for n in others[s]])
            for f, s in units}  # fmt: skip
    values = train_values(
        run,
        [
            Wanted(facts[f].targets, aims[f, s], clean.logits[parts[f].reads], parts[f].tokens)
            for f, s in units
        ],
        settings,
        max_tokens=max_tokens,
        on_step=lambda i, step, delta: on_step(*units[i], step, delta),
        training=beside.training if beside else Training,
    )
    found = {
        (f, s): FactValue(
            *seen[f, s],
            value,
            PREFIX_REUSE,
            sum(len(row.ids) for row in facts[f].fed),
            sum(len(row.ids) - row.subject for row in facts[f].fed),
        )
        for (f, s), value in zip(units, values, strict=True)
    }
    return [[found[f, s] for s in range(len(sites))] for f in range(len(facts))]


def _whole(
    model: Any, sites: Sequence[EditSite], rows: FactRows, settings: ValueSettings,
    value_from: str, beside: Beside | None, on_step: Callable[[int, Step, Tensor], None], how: str,
) -> list[FactValue]:  # fmt: skip
    others = _others(model, sites, beside)
    training = beside.training if beside else Training
    with hooked(model, rows.fed, [name for names in others for name in names]) as theirs:
        whole = WholeRows(model, sites, rows.fed, rows.reads)
    _require_finite(whole.clean)
    tokens = sum(len(row.ids) for row in rows.fed)
    found = []
    for s, site in enumerate(sites):
        keys, outputs, v0 = _seen(whole.clean, s, 0, rows, value_from)
        run = partial(_run_whole, whole, site, partial(hooked, model, rows.fed, others[s]))
        wanted = Wanted(rows.targets, _joined(v0, [theirs[n][0] for n in others[s]]))
        step = partial(_of_site, on_step, s)
        (value,) = train_values(run, [wanted], settings, on_step=step, training=training)
        found.append(FactValue(keys, outputs, v0, value, how, tokens, tokens))
    return found


def _run_whole(
    whole: WholeRows, site: EditSite, added: Callable[..., AbstractContextManager[Any]],
    active: Sequence[int], deltas: Sequence[Tensor],
) -> list[Tensor]:  # fmt: skip
    found = []
    for own, *others in (delta.view(-1, site.d_out) for delta in deltas):
        with added(others):
            found.append(whole.logits(site, own))  # (N, V)
    return found


def _others(model: Any, sites: Sequence[EditSite], beside: Beside | None) -> list[list[str]]:
    """Return the modules that get a delta beside each site: one of each, or none."""
    return [[beside.module(model, site)] if beside else [] for site in sites]


def _of_site(
    on_step: Callable[[int, Step, Tensor], None], site: int, _: int, step: Step, delta: Tensor
) -> None:
    on_step(site, step, delta)


def _require_finite(clean: Clean) -> None:
    for what, xs in (("logits", [clean.logits]), ("keys", clean.keys), ("outputs", clean.outputs)):
        # fetched together: each fetching waits for the device
        if not all(fetched([torch.isfinite(x).all() for x in xs])):
            raise EditError(
                f"the model's {what} are not finite in {xs[0].dtype} before anything is changed; "
                "load it in a wider dtype, or take earlier edits off"
            )


def _seen(
    clean: Clean, site: int, start: int, rows: FactRows, value_from: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return keys and outputs of a fact's templates at a site, and v0."""
    n = rows.n_templates
    keys, outputs = (_wide(xs[site][start : start + n]) for xs in (clean.keys, clean.outputs))
    if value_from == "stream":
        return keys, outputs, _wide(clean.streams[site][start])
    return keys, outputs, outputs[0] if value_from == "prompt" else outputs.mean(0)


def _joined(v0: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Return v0, (d_out,), or with those of other modules (1 + others, d_out)."""
    return torch.stack([v0, *map(_wide, others)]) if others else v0


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
