"""Folders that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from goldenlayers.disk import not_written
from goldenlayers.errors import ResultError
from goldenlayers.files import PARTIAL, tidy

# every folder that we write holds it; no other folder is ever replaced
MARK = "golden_layers.json"


def require_free(path: Path, overwrite: bool) -> None:
    """Refuse a place where a folder must not be written, before any work is done.

    Raises:
        ResultError: If there is a file, or a folder with something in it.
    """
    try:
        if path.is_symlink() and not path.exists():
            raise ResultError(f"{path}: a link to nothing; choose another folder")
        if path.exists() and not path.is_dir():
            raise ResultError(f"{path}: a file; expected a new folder")
        if not path.is_dir() or not any(path.iterdir()):
            return
        ours = (path / MARK).is_file()
    except OSError as error:
        raise not_written(path, error) from error
    if not ours:
        raise ResultError(
            f"{path}: the folder is not empty, and golden-layers did not write it; "
            "choose a new folder"
        )
    if not overwrite:
        raise ResultError(
            f"{path}: the folder holds an edit already; choose a new folder, or say overwrite=True "
            "(--force on the command line) to replace it as a whole"
        )


def write_folder_whole(path: Path, overwrite: bool, write: Callable[[Path], object]) -> None:
    """Let `write` fill a folder beside `path`, then put it in place in one step.

    Args:
        path: Where the folder shall be.
        overwrite: Replace a folder that we wrote.
        write: Called with the folder to fill.

    Raises:
        ResultError: If the place is taken or cannot be written.
    """
    require_free(path, overwrite)
    try:
        path = path.resolve()  # what a link points to is replaced, not the link
        path.parent.mkdir(parents=True, exist_ok=True)
        tidy(path.parent)
        work = Path(tempfile.mkdtemp(dir=path.parent, prefix=PARTIAL))
    except OSError as error:
        raise not_written(path, error) from error
    try:
        new, old = work / "new", work / "old"
        new.mkdir()
        write(new)
        require_free(path, overwrite)  # somebody else may have been quicker
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def require_no_way_out(folder: Path) -> None:
    """Refuse a folder from others in which a link points to what is not theirs.

    The hub's cache is made of links, to its "blobs" beside the "snapshots"; those may be.

    Raises:
        ResultError: If there is such a link.
    """
    inside = folder.resolve()
    blobs = inside.parent.parent / "blobs" if inside.parent.name == "snapshots" else inside
    for part in sorted(folder.rglob("*")):
        if part.is_symlink() and not _points_into(part, (inside, blobs)):
            raise ResultError(
                f"{part}: a link that points out of the folder, to {str(part.readlink())!r}; "
                "expected the file itself"
            )


def _points_into(link: Path, folders: tuple[Path, ...]) -> bool:
    try:
        place = link.resolve()
    except (OSError, RuntimeError):  # a loop
        return False
    return any(place.is_relative_to(folder) for folder in folders)


def listing(folder: Path) -> list[Path]:
    """Return the files of a folder and its subfolders, by name."""
    found = [Path(root) / name for root, _, names in os.walk(folder) for name in names]
    return sorted(found)
