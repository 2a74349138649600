"""`Edit.save`: which format, and what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from goldenlayers.disk import not_written
from goldenlayers.editors.compose import compose
from goldenlayers.editors.edit import Edit
from goldenlayers.editors.files import adapter, delta
from goldenlayers.editors.files.model import write_model
from goldenlayers.editors.files.record import to_record
from goldenlayers.editors.files.whole import require_free, write_folder_whole
from goldenlayers.errors import EditError, ResultError, SettingsError

FORMATS = ("delta", "adapter", "model")


def save(
    edit: Edit,
    path: Path,
    format: str,
    model: Any | None,
    tokenizer: Any | None,
    overwrite: bool,
    earlier: Edit | None,
) -> list[Path]:
    """Write an edit; see `Edit.save`."""
    if format not in FORMATS:
        raise SettingsError(f"format {format!r} is unknown; expected one of {', '.join(FORMATS)}")
    if format != "model" and earlier is not None:
        raise SettingsError(f"earlier edits are recorded with a model, not with a {format}")
    try:
        if format == "delta":
            return [_save_delta(edit, path)]
        if format == "adapter":
            names: list[str] = []
            write_folder_whole(
                path, overwrite, lambda f: names.extend(adapter.write_adapter(edit, f))
            )
            return [path / name for name in names]
        return _save_model(edit, path, model, tokenizer, overwrite, earlier)
    except (OSError, SafetensorError) as error:
        raise not_written(path, error) from error


def _save_delta(edit: Edit, path: Path) -> Path:
    if path.is_dir():
        raise ResultError(
            f"{path}: a folder; a delta is one file, such as {path / 'edit.safetensors'}"
        )
    if path.suffix != delta.SUFFIX:
        raise SettingsError(
            f"{path}: a delta is one safetensors file; expected a name such as "
            f"{path.name or 'edit'}{delta.SUFFIX}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    return delta.write_delta(edit, path)


def _save_model(
    edit: Edit,
    path: Path,
    model: Any | None,
    tokenizer: Any | None,
    overwrite: bool,
    earlier: Edit | None,
) -> list[Path]:
    if model is None:
        raise EditError(
            "a model folder needs the model: edit.save(path, 'model', model=model, "
            "tokenizer=tokenizer)"
        )
    require_free(path, overwrite)
    total = edit if earlier is None else compose([earlier, edit])
    to_record(total)  # refused before the model is written
    with edit.applied(model, earlier=earlier):
        return write_model(path, model, tokenizer, total, overwrite)
