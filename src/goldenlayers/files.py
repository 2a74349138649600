"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Begins the names of what is not whole yet.
PARTIAL = ".partial-golden-layers-"
OLD = 24 * 3600.0  # seconds since the last change: nobody is writing it any more


def tidy(folder: Path) -> None:
    """Take out what killed processes left half-written in a folder, a day later.

    Nothing that is whole has such a name, and nobody but golden-layers gives it.
    """
    for part in folder.glob(f"{PARTIAL}*"):
        with contextlib.suppress(OSError):  # somebody else was quicker, or may
            inside = part.rglob("*") if part.is_dir() else ()
            newest = max(p.stat().st_mtime for p in (part, *inside))
            if time.time() - newest < OLD:
                continue
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink()


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a file beside `path`, then put it in place in one step.

    Args:
        path: Where the file shall be; its folder must exist.
        write: Called with the path of the file to fill, which has the suffix of `path`.

    Returns:
        `path`.
    """
    tidy(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL, suffix=path.suffix)
    os.close(handle)
    part = Path(name)
    try:
        write(part)
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
