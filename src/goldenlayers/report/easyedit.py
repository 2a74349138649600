"""Settings files for EasyEdit, so that its users can adopt the layer found without leaving it.

EasyEdit (arXiv 2308.07269, github.com/zjunlp/EasyEdit) reads one YAML file per editor and model
into a dataclass whose fields must match exactly. What was read in its source and decides the values
here: a text that float() accepts becomes a number, whatever the field; the file is opened in the
encoding of the machine; names of modules are looked up in named_modules and named_parameters; and
the change that is trained is added to the output of `mlp_module_tmp`, but its start is compared
with the output of `rewrite_module_tmp`, so the two have to be the same tensor.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from goldenlayers.disk import not_written
from goldenlayers.editors.defaults import published
from goldenlayers.errors import ModelError, ResultError, SettingsError
from goldenlayers.files import write_whole
from goldenlayers.locators.ranking import LayerRanking
from goldenlayers.models.bundled import NAME as BUNDLED
from goldenlayers.models.bundled import bundled_folder
from goldenlayers.models.landmarks import find_landmarks
from goldenlayers.models.sites import EditSite, choose_layers, find_sites, text_config
from goldenlayers.report.easyedit_notes import cautions, origin


@dataclass(frozen=True, slots=True)
class Editor:
    """An editor of EasyEdit.

    Attributes:
        alg_name: What its settings files call it.
        hparams: The class in the package easyeditor that reads them.
    """

    alg_name: str
    hparams: str


EDITORS = {
    "r-rome": Editor("R-ROME", "R_ROMEHyperParams"),
    "rome": Editor("ROME", "ROMEHyperParams"),
}


@dataclass(frozen=True)
class EasyEditFile:
    """A settings file for EasyEdit.

    Attributes:
        editor: Which editor it is for.
        settings: The fields of the editor's dataclass.
        origin: Where the layer comes from and how far to trust it, one sentence or two each.
        cautions: What may keep EasyEdit from using the file, and what to do.
    """

    editor: Editor
    settings: dict[str, Any]
    origin: tuple[str, ...]
    cautions: tuple[str, ...]

    def text(self) -> str:
        """Return the file: comments, then YAML; all ASCII, because EasyEdit names no encoding."""
        lines = [*self.origin, *(f"Caution: {caution}" for caution in self.cautions)]
        plain = (line.encode("ascii", "backslashreplace").decode() for line in lines)
        wrap = textwrap.TextWrapper(98, break_long_words=False, break_on_hyphens=False).wrap
        comments = "".join(f"# {part}\n" for line in plain for part in wrap(line))
        body: str = yaml.safe_dump(
            self.settings, sort_keys=False, allow_unicode=False, default_flow_style=None, width=4096
        )
        return comments + body

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the file whole.

        Args:
            path: Where to; its name must end in .yaml. Missing folders are made.
            force: Whether a file that is there may be replaced.

        Returns:
            The path.

        Raises:
            SettingsError: If the name has another ending, or there is such a file.
            ResultError: If it cannot be written.
        """
        path = Path(path)
        check_path(path, force)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return write_whole(path, lambda part: part.write_text(self.text(), encoding="ascii"))
        except OSError as error:
            raise not_written(path, error) from error


def easyedit_file(
    ranking: LayerRanking,
    model: Any,
    editor: str = "r-rome",
    *,
    layer: int | None = None,
    model_name: str | None = None,
    device: int = 0,
) -> EasyEditFile:
    """Write a ranking's layer down in the settings of an editor of EasyEdit.

    The optimisation's settings are the published ones (`goldenlayers.editors.defaults.published`);
    the covariance is off (mom2_adjustment), as in EasyEdit's files for R-ROME.

    Args:
        ranking: The ranking.
        model: The model that was ranked, or its structure (`goldenlayers.models.load.load_empty`).
        editor: A name in `EDITORS`.
        layer: The layer to edit, from 0; None for the golden one.
        model_name: What EasyEdit shall load; None for the model of the ranking. A folder is then
            named by its full path.
        device: Number of the GPU.

    Returns:
        The file, not yet written.

    Raises:
        SettingsError: If the editor or the layer does not exist, or the model's name cannot be
            used.
        ModelError: If the model is not the one that was ranked.
        ResultError: If the ranking is damaged.
        SiteError: If a part that the file names cannot be told from the model's structure.
    """
    target = find_editor(editor)
    if device < 0:
        raise SettingsError(f"device {device}: expected the number of a GPU, 0 or more")
    ranked = ranked_name(ranking)
    sites = _ranked_sites(ranking, model)
    name = _usable(loadable_name(ranked) if model_name is None else model_name)
    (site,) = choose_layers(sites, [ranking.golden if layer is None else layer])
    marks = find_landmarks(model, site)
    config = text_config(model)
    width = config.hidden_size
    if site.d_out != width:
        raise SettingsError(
            f"{site.name} writes {site.d_out} features; EasyEdit's {target.alg_name} adds "
            f"a vector as wide as the residual stream ({width}) to its output. Rank the sites that "
            "write to the stream: golden-layers find without --site"
        )
    values = published(str(config.model_type))
    settings = {
        "alg_name": target.alg_name,
        "model_name": name,
        "stats_dir": "./data/stats",
        "device": device,
        "layers": [site.layer],
        "fact_token": "subject_last",
        "v_num_grad_steps": values.steps,
        "v_lr": float(values.lr),
        "v_loss_layer": marks.layers - 1,
        "v_weight_decay": float(values.weight_decay),
        "clamp_norm_factor": float(values.clamp),
        "kl_factor": float(values.kl_factor),
        "mom2_adjustment": False,
        "context_template_length_params": [[5, 10], [10, 10]],
        "rewrite_module_tmp": marks.site,
        "layer_module_tmp": marks.block,
        "mlp_module_tmp": marks.mlp,
        "attn_module_tmp": marks.attention,
        "ln_f_module": marks.norm,
        "lm_head_module": marks.head,
        "mom2_dataset": "wikipedia",
        "mom2_n_samples": 100_000,
        "mom2_dtype": "float32",
        "model_parallel": False,
        "fp16": False,
    }
    said = tuple(origin(ranking, target.alg_name, model, site.layer))
    warned = tuple(cautions(model, name, site, marks.layers))
    return EasyEditFile(target, settings, said, warned)


def find_editor(name: str) -> Editor:
    """Return the editor of that name.

    Raises:
        SettingsError: If there is none.
    """
    if name not in EDITORS:
        raise SettingsError(f"editor {name!r} is unknown; expected one of {', '.join(EDITORS)}")
    return EDITORS[name]


def check_path(path: Path, force: bool) -> None:
    """Refuse a place for the file; see `EasyEditFile.save`."""
    if path.suffix != ".yaml":
        raise SettingsError(
            f"{path}: expected a name that ends in .yaml; EasyEdit appends that to any other"
        )
    try:
        folder, there = path.is_dir(), path.exists()
    except OSError as error:  # a name that the file system does not take
        raise SettingsError(f"{path}: {error.strerror}") from error
    if folder:
        raise SettingsError(f"{path}: a folder; expected the name of a file")
    if there and not force:
        raise SettingsError(f"{path}: there is such a file; --force replaces it")


def ranked_name(ranking: LayerRanking) -> str:
    """Return the name of the model that was ranked.

    Raises:
        ResultError: If the ranking is damaged.
    """
    parts = (ranking.settings, ranking.model, ranking.facts, ranking.versions)
    name = ranking.model.get("name") if isinstance(ranking.model, Mapping) else None
    if not all(isinstance(p, Mapping) for p in parts) or not isinstance(name, str):
        raise ResultError("the ranking is damaged: it does not say which model was ranked, and how")
    return name


def loadable_name(name: str) -> str:
    """Return what another program, in another folder, has to load for a name of ours.

    Args:
        name: As for `goldenlayers.load_model`.

    Raises:
        SettingsError: If it is a GGUF file, which EasyEdit does not load.
    """
    if name == BUNDLED:
        return str(bundled_folder().absolute())
    if name.lower().endswith(".gguf"):
        raise SettingsError(
            f"{name}: EasyEdit does not load GGUF files; say with --model-name where it finds the "
            "model as a folder with safetensors weights, or on the hub"
        )
    try:
        folder = Path(name).expanduser()
        return str(folder.absolute()) if folder.is_dir() else name
    except (OSError, RuntimeError):  # no path, so at most a name on the hub
        return name


def _usable(name: str) -> str:
    """Refuse what EasyEdit would not read as a text."""
    try:
        float(name)
    except ValueError:
        if name.strip():
            return name
        raise SettingsError("model_name is empty; expected a folder or a hub name") from None
    raise SettingsError(
        f"model_name {name!r}: EasyEdit turns what looks like a number into one; "
        f"write it as a path, for example './{name.strip()}'"
    )


def _ranked_sites(ranking: LayerRanking, model: Any) -> list[EditSite]:
    """Return the edit sites of all layers; refuse a model that is not the one that was ranked."""
    recorded, pattern = ranking.settings.get("sites"), ranking.settings.get("site")
    scored = [s.layer for s in ranking.layers]
    if type(ranking.golden) is not int or ranking.golden not in scored:
        raise ResultError(f"the ranking is damaged: its layer {ranking.golden!r} was not scored")
    if (
        not isinstance(recorded, list)
        or len(recorded) != len(scored)
        or not isinstance(pattern, str | None)
    ):
        raise ResultError("the ranking is damaged: it does not name the edit sites of its layers")
    what = (
        f"the ranking is not of this model; give the model that was ranked "
        f"({ranked_name(ranking)!r}) with --model. Expected"
    )
    found, expected = type(model).__name__, ranking.model.get("architecture")
    if found != expected:
        raise ModelError(f"{what} a {expected}, found a {found}")
    sites = find_sites(model, pattern)
    names = {s.layer: s.name for s in sites}
    for layer, name in zip(scored, recorded, strict=True):
        if names.get(layer) != name:
            site = repr(names[layer]) if layer in names else "no such layer"
            raise ModelError(f"{what} the edit site {name!r} in layer {layer}, found {site}")
    # Names alone do not tell a deeper model from one of which the first layers were ranked.
    # Quantised weights are packed, so that counting them says nothing.
    size, expected = sum(p.numel() for p in model.parameters()), ranking.model.get("parameters")
    packed = getattr(model.config, "quantization_config", None) is not None
    if isinstance(expected, int) and expected and size != expected and not packed:
        raise ModelError(f"{what} {expected:,} weights, found {size:,}")
    return sites
