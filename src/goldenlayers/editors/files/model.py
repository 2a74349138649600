"""A whole edited model in a folder, with the edits that are on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from goldenlayers.disk import not_written
from goldenlayers.editors.edit import Edit
from goldenlayers.editors.files.delta import read_delta, write_delta
from goldenlayers.editors.files.record import FORMAT_VERSION, dumps
from goldenlayers.editors.files.whole import MARK, listing, write_folder_whole
from goldenlayers.errors import EditError
from goldenlayers.models.bundled import quiet_transformers, unmark_quantised

FORMAT = "golden-layers model"
# in a folder of its own: some programs read every safetensors file beside the model as weights
DELTA = Path("golden_layers") / "edit.safetensors"


def write_model(
    path: Path, model: Any, tokenizer: Any | None, edit: Edit | None, overwrite: bool = False
) -> list[Path]:
    """Write a model as it is now.

    Args:
        path: The folder.
        model: The model, with the edits on it; it comes back as it was.
        tokenizer: Its tokenizer, or None.
        edit: The edits that are on it, to be recorded; None if there are none.
        overwrite: Replace a folder that we wrote.

    Returns:
        The files.

    Raises:
        EditError: If transformers cannot save the model.
        ResultError: If the place is taken or cannot be written.
    """

    def write(folder: Path) -> None:
        with saveable(model), quiet_transformers():
            try:
                model.save_pretrained(folder)
                if tokenizer is not None:
                    tokenizer.save_pretrained(folder)
            except OSError:
                raise
            except SafetensorError as error:  # the disk's error, in a guise of its own
                raise not_written(path, error) from error
            except Exception as error:  # transformers raises nearly every class of error here
                raise EditError(
                    f"transformers cannot save this model: {type(error).__name__} "
                    f"{str(error)[:300]}; save a delta or an adapter instead"
                ) from error
        if edit is not None:
            (folder / DELTA).parent.mkdir()
            write_delta(edit, folder / DELTA)
        text = dumps(_summary(edit), indent=1)
        (folder / MARK).write_text(text + "\n", encoding="utf-8")

    write_folder_whole(path, overwrite, write)
    return listing(path)


def read_model(folder: Path) -> Edit:
    """Read the edits that are on a model folder that we wrote."""
    return read_delta(folder / DELTA)


@contextlib.contextmanager
def saveable(model: Any) -> Iterator[None]:
    """Take off what keeps a model from being saved, and put everything back on leaving.

    A model read from a GGUF holds plain numbers but is marked as quantised. Saving also writes the
    dtype and the class into the lent model's configuration.
    """
    config = model.config
    before = dict(vars(config))
    marks = {n: vars(model)[n] for n in ("hf_quantizer", "is_quantized") if n in vars(model)}
    try:
        if _read_from_gguf(model):
            unmark_quantised(model)
        yield
    finally:
        vars(config).clear()
        vars(config).update(before)
        for name in ("hf_quantizer", "is_quantized"):
            vars(model).pop(name, None)
        vars(model).update(marks)


def _read_from_gguf(model: Any) -> bool:
    quantizer = getattr(model, "hf_quantizer", None)
    marked = getattr(quantizer, "quantization_config", None)
    marked = marked or getattr(model.config, "quantization_config", None)
    method = getattr(marked, "quant_method", None)
    plain = all(p.is_floating_point() and p.element_size() > 1 for p in model.parameters())
    return str(getattr(method, "value", method)).casefold() == "gguf" and plain


def _summary(edit: Edit | None) -> dict[str, Any]:
    """Return what a person wants to know of the folder; the delta file holds the rest."""
    if edit is None:
        return {"format": FORMAT, "format_version": FORMAT_VERSION, "edits": None}
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "edits": DELTA.as_posix(),
        "editor": edit.editor,
        "layers": list(edit.layers),
        "rank": edit.rank,
        "facts": [
            {
                "id": o.fact.id,
                "prompt": o.fact.prompt,
                "target_new": o.fact.target_new,
                "status": o.status,
            }
            for o in edit.outcomes
        ],
        "base": edit.base.title,
        "versions": dict(edit.versions),
    }
