"""`StudySettings`: what a study is made of, as its file of settings says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from goldenlayers.editors.run import make_editor
from goldenlayers.editors.templates import KINDS
from goldenlayers.errors import SettingsError
from goldenlayers.facts import subsets
from goldenlayers.facts.formats.recognise import FORMATS
from goldenlayers.locators.answers import OLD_ANSWERS
from goldenlayers.locators.cma import CMA
from goldenlayers.locators.lga import SCOPES
from goldenlayers.locators.registry import make_locator
from goldenlayers.models import bundled
from goldenlayers.sweep.objective import check as check_objective


def _require_templates(kind: str) -> None:
    if kind not in KINDS:
        raise SettingsError(f"templates {kind!r} is unknown; expected one of {', '.join(KINDS)}")


@dataclass(frozen=True)
class ModelSpec:
    """A model of a study.

    Attributes:
        model: "bundled", a folder, a .gguf file, or a hub name.
        name: What figures call it; None for the last part of `model`.
        default_layer: The layer that people copy for it, judged beside the others; None for none.
        dtype: As `goldenlayers.load_model`.
        device: As `goldenlayers.load_model`.
        revision: As `goldenlayers.load_model`.
        chat: Whether prompts go through its chat template.
    """

    model: str
    name: str | None = None
    default_layer: int | None = None
    dtype: str = "auto"
    device: str = "auto"
    revision: str | None = None
    chat: bool = False

    @property
    def title(self) -> str:
        """What figures call it."""
        if self.name is None and self.model == bundled.NAME:
            return bundled.TITLE
        return self.name or self.model.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class DataSpec:
    """Facts of a study.

    Attributes:
        facts: "bundled", a file, or hub:owner/name[:split].
        name: What figures call them; None for the file's name.
        format: Format of the file, where its records do not tell.
        half: "a" or "b", None for all.
        sample: Draw so many.
        split: Share (under 1) or number of them that become proxy facts; None keeps the file's
            marks.
        proxy: Sizes of the proxy sets that choices are made on; None for the study's.
        test: Use the first so many test facts; None for the study's.
        layers: Layers to edit, such as "0-29" or "3,5,8"; None for the study's.
        traced: Which facts CMA traces; None for the study's.
        heat_map: Whether a fact is traced at every token; None for what the study says.
        stories: As the study's; None for the same number.
        side_effects: As the study's; None for the same number.
        templates: Kinds of templates that the sensitivity is tried on; None for the study's.
        optional: Leave the set out, with a word, where the file is not there.
    """

    facts: str
    name: str | None = None
    format: str | None = None
    half: str | None = None
    sample: int | None = None
    split: float | None = None
    proxy: tuple[int, ...] | None = None
    test: int | None = None
    layers: str | None = None
    traced: str | None = None
    heat_map: bool | None = None
    stories: int | None = None
    side_effects: int | None = None
    templates: tuple[str, ...] | None = None
    optional: bool = False

    def __post_init__(self) -> None:
        if self.half is not None:
            subsets.check_half(self.half)
        if self.sample is not None:
            subsets.check_sample(self.sample, 0)
        if self.split is not None:
            subsets.check_proxy(self.split, 0)
        for kind in self.templates or ():
            _require_templates(kind)
        if self.format is not None and self.format not in {f.name for f in FORMATS}:
            raise SettingsError(
                f"format {self.format!r} is unknown; expected one of "
                f"{', '.join(f.name for f in FORMATS)}"
            )

    @property
    def title(self) -> str:
        """What figures call it."""
        return self.name or self.facts.rpartition("/")[2].partition(".")[0] or self.facts


@dataclass(frozen=True)
class EditorSpec:
    """An editor of a study.

    Attributes:
        editor: Its name.
        name: What figures call it; None for the same.
        templates: Kind of the context templates.
        covariance: "none", or the text that the keys' covariance is taken over; None for what the
            editor needs.
        settings: Its settings, by name.
    """

    editor: str
    name: str | None = None
    templates: str = "short"
    covariance: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        made = make_editor(self.editor, **dict(self.settings))
        _require_templates(self.templates)
        if self.covariance is None:
            needed = bool(getattr(made, "needs_covariance", False))
            object.__setattr__(self, "covariance", "model" if needed else "none")

    @property
    def title(self) -> str:
        """What figures call it."""
        return self.name or self.editor


@dataclass(frozen=True)
class Sensitivity:
    """What LGA's choice is tried against, each alone.

    Attributes:
        fence: Widths of the fences, in interquartile ranges.
        old_answer: Sources of the old answer.
        scope: Scopes of a layer's weight.
        templates: Kinds of the editor's context templates: the truth they are judged by changes,
            which takes edits of its own.
        templates_test: Test facts for these; None for the data set's.
    """

    fence: tuple[float, ...] = (0.5, 1.0, 1.5, 3.0)
    old_answer: tuple[str, ...] = OLD_ANSWERS
    scope: tuple[str, ...] = SCOPES
    templates: tuple[str, ...] = ()
    templates_test: int | None = None

    def __post_init__(self) -> None:
        for name, known in (("old_answer", OLD_ANSWERS), ("scope", SCOPES), ("templates", KINDS)):
            for value in getattr(self, name):
                if value not in known:
                    raise SettingsError(
                        f"{name} {value!r} is unknown; expected of {', '.join(known)}"
                    )
        if any(not value > 0 for value in self.fence):
            raise SettingsError(f"fence {list(self.fence)}: expected numbers above 0")


@dataclass(frozen=True)
class Timing:
    """What the ways to choose cost, by length of the query and number of facts.

    Attributes:
        tokens: Lengths of the prompts, in tokens: facts' prompts behind running text.
        proxy: Numbers of facts.
        edited: Facts that are edited at all layers; larger numbers are extrapolated from them.
        plain_layers: Layers at which the obvious way edits a fact; the others are extrapolated.
    """

    tokens: tuple[int, ...] = (20, 40, 80)
    proxy: tuple[int, ...] = (4, 16)
    edited: int = 1
    plain_layers: int = 3


@dataclass(frozen=True)
class StudySettings:
    """A study; every combination of model, data set and editor is a cell.

    Attributes:
        models: The models.
        data: The data sets.
        editors: The editors.
        locators: Ways to choose a layer, by name. "brute-force" edits the proxy facts too, and is
            what the paper's first figure chooses by.
        proxy: Sizes of the proxy sets.
        repeats: Draws of each size.
        test: Use the first so many test facts of each set; None for all.
        layers: Layers to edit; None for all.
        objective: What makes a layer good.
        traced: Which facts CMA traces: "known" (those that the model knows, as published) or "own"
            (all, by the model's own answers).
        seed: Of everything random.
        name: What the study is called.
        sensitivity: What LGA is tried against; None for nothing.
        timing: What is timed; None for nothing.
        heat_map: Trace one fact of each data set at every token.
        stories: Texts before and after of so many of the best and of the worst edits.
        side_effects: Facts, edited one at a time at LGA's layer, after each of which a fixed text
            is read again; 0 for none.
        text: "fixed", or a file with that text.
        lm_eval: Tasks of lm-eval that are asked before and after such an edit.
        lm_eval_limit: Documents of each task; None for all.
        lm_eval_path: Folder of task files of your own.
    """

    models: tuple[ModelSpec, ...]
    data: tuple[DataSpec, ...]
    editors: tuple[EditorSpec, ...] = (EditorSpec("r-rome"),)
    locators: tuple[str, ...] = ("lga", "cma", "brute-force", "middle")
    proxy: tuple[int, ...] = (10,)
    repeats: int = 3
    test: int | None = None
    layers: str | None = None
    objective: str = "mean"
    traced: str = "known"
    seed: int = 0
    name: str = "study"
    sensitivity: Sensitivity | None = Sensitivity()
    timing: Timing | None = Timing()
    heat_map: bool = True
    stories: int = 1
    side_effects: int = 5
    text: str = "fixed"
    lm_eval: tuple[str, ...] = ()
    lm_eval_limit: int | None = None
    lm_eval_path: str | None = None

    def __post_init__(self) -> None:
        check_objective(self.objective)
        for locator in self.locators:
            make_locator(locator)
        for what in ("models", "data", "editors", "locators", "proxy"):
            if not getattr(self, what):
                raise SettingsError(f"{what}: none is named; expected one or more")
        for what in ("models", "data", "editors"):
            titles = [spec.title for spec in getattr(self, what)]
            twice = [t for t in titles if titles.count(t) > 1]
            if twice:
                raise SettingsError(
                    f"{what}: two are called {twice[0]!r}; give one of them another name"
                )
        for traced in (self.traced, *(d.traced for d in self.data if d.traced is not None)):
            CMA(traced=traced)  # refuses another word
        if self.repeats < 1:
            raise SettingsError(f"repeats {self.repeats}: expected 1 or more")
        if self.seed < 0:
            raise SettingsError(f"seed {self.seed}: expected 0 or more")

    def proxy_of(self, data: DataSpec) -> tuple[int, ...]:
        """Return the sizes of a data set's proxy sets, small first."""
        return tuple(sorted(set(data.proxy or self.proxy)))

    def of(self, data: DataSpec, name: str) -> Any:
        """Return what a data set's entry says of something, the study's word where it is silent.

        Args:
            data: The entry.
            name: test, layers, traced, heat_map, stories or side_effects.
        """
        own = getattr(data, name)
        return getattr(self, name) if own is None else own

    def locators_of(self, model: ModelSpec) -> tuple[str, ...]:
        """Return the ways to choose for a model, the layer that people copy among them."""
        copied = () if model.default_layer is None else (f"fixed:{model.default_layer}",)
        return tuple(dict.fromkeys((*self.locators, *copied)))

    def templates_of(self, data: DataSpec) -> tuple[str, ...]:
        """Return the kinds of templates that the sensitivity is tried on with a data set."""
        if self.sensitivity is None:
            return ()
        return self.sensitivity.templates if data.templates is None else data.templates
