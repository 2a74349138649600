"""`Edit.load`: which format a path is, and the edit in it."""

from __future__ import annotations

from pathlib import Path

from goldenlayers.editors.edit import Edit
from goldenlayers.editors.files import adapter, model
from goldenlayers.editors.files.delta import read_delta
from goldenlayers.editors.files.record import loads
from goldenlayers.editors.files.whole import MARK, require_no_way_out
from goldenlayers.errors import EditError, ResultError


def load(path: Path) -> Edit:
    """Read an edit; see `Edit.load`."""
    try:
        if path.name == MARK and path.is_file():
            path = path.parent
        return _load_folder(path) if path.is_dir() else read_delta(path)
    except EditError as error:  # factors that fit the record but make no edit
        raise ResultError(f"{path}: damaged: {error}") from error
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror or error}") from error


def edits_on(folder: Path) -> Edit | None:
    """Return the edits that a model folder carries, or None if it has no record of any.

    Raises:
        ResultError: If there is a record that cannot be read.
    """
    if not (folder / MARK).is_file():
        return None
    require_no_way_out(folder)
    record = loads(_text(folder / MARK), folder / MARK)
    if record.data.get("format") == model.FORMAT and record.data.get("edits") is None:
        return None
    return load(folder)


def _load_folder(folder: Path) -> Edit:
    file = folder / MARK
    if not file.is_file():
        what = (
            "a LoRA adapter that golden-layers did not write"
            if (folder / adapter.CONFIG).is_file()
            else f"a folder without {MARK}"
        )
        raise ResultError(
            f"{folder}: {what}; expected a delta file, an adapter folder or a model folder as "
            "`Edit.save` wrote it"
        )
    require_no_way_out(folder)
    record = loads(_text(file), file)
    kind = record.data.get("format")
    if kind == adapter.FORMAT:
        return adapter.read_adapter(record, folder)
    if kind == model.FORMAT:
        if record.data.get("edits") is None:
            raise ResultError(f"{folder}: no edit is on this model any more")
        return model.read_model(folder)
    raise record.wrong("format", f"{adapter.FORMAT!r} or {model.FORMAT!r}")


def _text(file: Path) -> bytes:
    return file.read_bytes()
