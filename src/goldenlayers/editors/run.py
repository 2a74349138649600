"""`edit`: edit facts into a model that is already loaded, and get the edit as a thing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.editors.alphaedit import AlphaEdit
from goldenlayers.editors.base import base_of
from goldenlayers.editors.batches import in_batches, keys_of
from goldenlayers.editors.edit import Edit
from goldenlayers.editors.fact_rows import fact_rows
from goldenlayers.editors.fine_tuning import FTL, FTM
from goldenlayers.editors.given_covariance import moments_of, solvers_of
from goldenlayers.editors.lora import LoRA
from goldenlayers.editors.memit import EMMET, MEMIT
from goldenlayers.editors.pmet import PMET
from goldenlayers.editors.protocol import Editor, EditRequest, OnStep, ignore_step
from goldenlayers.editors.rome import ROME, RROME
from goldenlayers.editors.templates import Templates, make_templates
from goldenlayers.editors.which_layer import resolve_layers
from goldenlayers.errors import FactError, SettingsError
from goldenlayers.facts.fact import Fact
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.models.causal import require_causal
from goldenlayers.models.chat import chat_setting
from goldenlayers.models.guard import untouched
from goldenlayers.models.identity import ModelIdentity, identify
from goldenlayers.models.sites import EditSite
from goldenlayers.passes.room import shortage_told
from goldenlayers.progress import Progress, silent
from goldenlayers.versions import versions

EDITORS: dict[str, type[Editor]] = {
    "r-rome": RROME, "rome": ROME, "memit": MEMIT, "emmet": EMMET, "alphaedit": AlphaEdit,
    "pmet": PMET, "ft-l": FTL, "ft-m": FTM, "lora": LoRA,
}  # fmt: skip
# what scored best on the bundled proxy facts, and without a covariance: docs/editing.md
TEMPLATES = "short"


def edit(
    model: Any,
    tokenizer: Any,
    facts: Fact | Iterable[Fact],
    layer: int | str | LayerRanking | Sequence[int] = "auto",
    editor: str = "r-rome",
    *,
    templates: str | Sequence[str] | Templates = TEMPLATES,
    covariance: Mapping[int, KeyMoment] | None = None,
    batch: int | None = None,
    earlier: Edit | None = None,
    site: str | None = None,
    seed: int = 0,
    identity: ModelIdentity | None = None,
    progress: Progress = silent,
    on_step: OnStep = ignore_step,
    **settings: Any,
) -> Edit:
    """Compute an edit. The model is returned bit for bit as it came; `Edit.apply` changes it.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its fast tokenizer.
        facts: One fact or several. ROME and R-ROME edit them one after another, each into the model
            as the ones before left it; the others take them as one batch.
        layer: The layer to edit, or several for an editor that takes a window; a ranking, whose
            golden layer is taken, or the window around it (`goldenlayers.locators.window`); or
            "auto": LGA on the bundled proxy facts. To choose on facts of your own, call
            `goldenlayers.find` and give its ranking.
        editor: One of `EDITORS`.
        templates: "published", "short", "bare", prefixes of your own, or finished `Templates`
            (which saves writing them anew for each call).
        covariance: None for none, or what `goldenlayers.key_covariance` returns: a mapping from
            layer to the moment of its keys. MEMIT, EMMET and AlphaEdit need it.
        batch: Facts in a batch: they are edited in batches of so many, each into the model as the
            ones before left it. None for all at once; 1 for one after another.
        earlier: Edits that are on the model already, whose keys AlphaEdit spares; several as one,
            by `Edit.compose`.
        site: Qualified name of the edit site with "{}" for the layer, if structure does not tell.
        seed: Seed of the templates.
        identity: Which model this is, if it is known better than from the model itself.
        progress: Called with stage, facts done and facts in total.
        on_step: Called after each evaluation of a value's loss, with the step and delta (d_out,).
        **settings: Settings of the editor; see its class, such as `goldenlayers.RROME`.

    Returns:
        The edit. `outcomes` says per fact whether it converged, and the loss reached.

    Raises:
        SettingsError: If a setting is unknown or out of range, there is no such layer, or the
            ranking or the covariance is of another model.
        FactError: If there are no facts, two have one identifier, or one cannot be edited.
        SiteError: If the edit site cannot be found.
        ModelError: If the model is not causal, or the tokenizer is not its own.
        EditError: If no finite update exists.
        MemoryShortError: If memory does not suffice for the smallest batch.

    Example:
        >>> edit = goldenlayers.edit(model, tokenizer, fact, layer=8)
        >>> with edit.applied(model):
        ...     model.generate(...)
        >>> edit.save("paris.safetensors")
    """
    start = time.perf_counter()
    chosen_editor = make_editor(editor, **settings)
    wanted = checked(facts, seed)
    width = getattr(chosen_editor, "window", 1)
    sites, chosen_by = resolve_layers(model, tokenizer, layer, site, seed, progress, width)
    moments = moments_of(covariance, sites, model, tokenizer, chosen_editor)
    with untouched(model), shortage_told("editing"):
        require_causal(model)
        made = make_templates(model, tokenizer, templates, seed=seed)
        solvers = solvers_of(moments, chosen_editor)
        if batch is not None:  # each batch looks at its own facts only
            require_editable(model, tokenizer, wanted, chosen_editor, made)
        keys = {} if earlier is None else keys_of(earlier.updates)
        request = EditRequest(
            model, tokenizer, wanted, sites, made, solvers, keys, progress=progress, on_step=on_step
        )
        size = len(wanted) if batch is None else batch
        batches = list(in_batches(chosen_editor, request, size))
    updates = batches[-1].updates
    return Edit(
        editor=editor,
        updates=updates,
        outcomes=tuple(outcome for one in batches for outcome in one.made.outcomes),
        settings=describe(chosen_editor, sites, made, moments, site, seed)
        | chat_setting(tokenizer)
        | {"layer_chosen_by": chosen_by}
        | ({} if batch is None else {"batch": batch}),
        base=base_of(model, [u.name for u in updates], identity or identify(model)),
        versions=versions(),
        seconds={"edit": time.perf_counter() - start},
    )


def make_editor(name: str, **settings: Any) -> Editor:
    """Return the editor of that name with those settings.

    Raises:
        SettingsError: If the editor or a setting is unknown, or a value out of range.
    """
    if name not in EDITORS:
        raise SettingsError(f"editor {name!r} is unknown; expected one of {', '.join(EDITORS)}")
    known = [f.name for f in fields(EDITORS[name])]
    unknown = [s for s in settings if s not in known]
    if unknown:
        raise SettingsError(
            f"editor {name!r} has no setting {unknown[0]!r}; it has {', '.join(known)}"
        )
    return EDITORS[name](**settings)


def checked(facts: Fact | Iterable[Fact], seed: int = 0) -> tuple[Fact, ...]:
    """Return the facts to edit as a tuple.

    Raises:
        FactError: If there are none, something else is among them, or two have one identifier.
        SettingsError: If the seed is not a number of 0 or more.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise SettingsError(f"seed {seed!r}: expected a whole number, 0 or more")
    if isinstance(facts, str | Mapping) or not isinstance(facts, Fact | Iterable):
        raise FactError(
            f"facts: found a {type(facts).__name__}; expected a goldenlayers.Fact, or several, "
            "such as goldenlayers.read_facts returns"
        )
    wanted = (facts,) if isinstance(facts, Fact) else tuple(facts)
    for fact in wanted:
        if not isinstance(fact, Fact):
            raise FactError(
                f"facts: found a {type(fact).__name__} among them; expected goldenlayers.Fact only"
            )
    if not wanted:
        raise FactError("no facts to edit")
    for fact in wanted:
        for name in ("subject", "prompt", "target_new"):
            if not getattr(fact, name).strip():
                raise FactError(f"fact {fact.id!r}: its {name} is empty; expected a text")
    fact_id, count = Counter(fact.id for fact in wanted).most_common(1)[0]
    if count > 1:
        raise FactError(f"two facts have the id {fact_id!r}; ids must be unique")
    return wanted


def require_editable(
    model: Any, tokenizer: Any, facts: Iterable[Fact], editor: Editor, templates: Templates
) -> None:
    """Tokenise facts as the editor will: a bad one must not be found an hour in.

    Raises:
        FactError: If a fact cannot be edited, such as one that is too long for the model's context,
            or none asks for a change.
        ModelError: If the tokenizer is not the model's.
    """
    occurrence = getattr(editor, "occurrence", "last")
    facts = list(facts)
    if facts and not any(fact.changes for fact in facts):
        raise FactError(
            f"none of the {len(facts)} facts asks for a change: the new answer of each is its old "
            "one. Such facts, as ROME's known facts are, can be traced: golden-layers find "
            "--method cma"
        )
    for fact in facts:
        fact_rows(model, tokenizer, fact, templates.prefixes, occurrence=occurrence)


def describe(
    editor: Editor,
    sites: Sequence[EditSite],
    templates: Templates,
    moments: Mapping[int, KeyMoment],
    site: str | None,
    seed: int,
) -> dict[str, Any]:
    """Return the settings of an edit, ready for JSON."""
    covariance = {
        str(layer): {"of": dict(m.key), "tokens": m.tokens} for layer, m in moments.items()
    }
    return asdict(editor) | {
        "layers": [s.layer for s in sites],
        "site": site,
        "templates": {
            "kind": templates.kind,
            "seed": templates.seed,
            "prefixes": list(templates.prefixes),
        },
        "covariance": covariance or None,
        "seed": seed,
    }
