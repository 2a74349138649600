"""Results of several files: put into their folder together, or not at all."""

from __future__ import annotations

import json
import math
import shutil
import signal
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from goldenlayers.disk import not_written
from goldenlayers.editors.files.whole import MARK, require_free
from goldenlayers.errors import ResultError
from goldenlayers.files import PARTIAL, tidy
from goldenlayers.typed import decoded


@contextmanager
def put_together(folder: Path, outdated: Collection[str] = ()) -> Iterator[Path]:
    """Yield an empty folder to fill; what is in it is put into `folder` on leaving.

    Nothing is put there if an exception leaves the block. Files of the same names are replaced, a
    folder that holds a model or an adapter as a whole; all else in `folder` stays. The index of a
    result, its .json, comes last: a folder that has it has the rest, of the same run.

    Args:
        folder: Where the results shall be; made if it is not there.
        outdated: Names in `folder` that an earlier run left and this one has no successor for; they
            are removed.

    Raises:
        ResultError: If the folder cannot be written.
    """
    try:
        place = folder
        while not place.exists() and place != place.parent:
            place = place.parent  # on the same disk, so that a rename is enough
        tidy(place)
        stage = Path(tempfile.mkdtemp(dir=place, prefix=PARTIAL))
    except OSError as error:
        raise not_written(folder, error) from error
    try:
        yield stage
        with _uninterrupted():
            folder.mkdir(parents=True, exist_ok=True)
            found = sorted(stage.iterdir(), key=lambda p: (p.suffix == ".json", p.name))
            for old in (*(p.name for p in found if p.suffix == ".json"), *outdated):
                _remove(folder / old)
            for part in found:
                _place(part, folder / part.name)
    except OSError as error:
        raise not_written(folder, error) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def require_own(file: Path, format: str) -> None:
    """Refuse a place where a JSON file is that is not a result of the same kind.

    Args:
        file: Where a result's index shall be written.
        format: What its field "format" says.

    Raises:
        ResultError: If something else is there.
    """
    try:
        if not file.exists():
            return
        data = json.loads(file.read_text(encoding="utf-8"))
        ours = isinstance(data, dict) and data.get("format") == format
    except OSError as error:
        raise ResultError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError):
        ours = False
    if not ours:
        raise ResultError(
            f"{file}: exists, and golden-layers did not write it as its {format!r}; "
            "choose another folder"
        )


# What may come of reading a file that is JSON, but not as golden-layers wrote it.
DAMAGE = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, ZeroDivisionError,
    RecursionError,
)  # fmt: skip
LONGEST_NAME = 200  # characters of a file's name
TOLD = 300  # characters of what a damaged file says that a message repeats


def read_json(file: Path, missing: str) -> Any:
    """Read a JSON file that somebody else may have written.

    Args:
        file: The file.
        missing: What is said where it is not there, after "no such file; ".

    Raises:
        ResultError: If it cannot be read.
    """
    try:
        return decoded(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultError(f"{file}: no such file; {missing}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(f"{file}: not readable as JSON: {shown(error)}") from error


def damaged(file: Path, error: Exception) -> ResultError:
    """Return the error for a file that something else came of: one of `DAMAGE`."""
    return ResultError(f"{file}: damaged: {type(error).__name__} {shown(error)}")


def shown(error: object) -> str:
    """Return what an error says, in one line that is not too long."""
    text = " ".join(str(error).split())
    return text if len(text) <= TOLD else f"{text[:TOLD]}…"


def beside(file: Path, name: Any) -> Path:
    """Return the file of that name beside another: a result's index must not point elsewhere.

    Raises:
        ValueError: If it is no name of a file.
    """
    last = Path(str(name)).name
    if not last or len(last) > LONGEST_NAME:
        raise ValueError(f"{shown(repr(name))} is no name of a file")
    found = file.parent / last
    if not found.resolve().is_relative_to(file.parent.resolve()):
        raise ValueError(f"{last} is a link that points out of the folder")
    return found


def write_json(path: Path, data: Any) -> None:
    """Write strict JSON, a line per value."""
    text = json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def strict(value: Any) -> Any:
    """Return a value as strict JSON holds it: numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _place(part: Path, target: Path) -> None:
    if not part.is_dir():
        part.replace(target)
    elif (part / MARK).is_file():
        require_free(target, True)  # looked at before, but an hour may have passed
        target = target.resolve()  # what a link points to is replaced, not the link
        _remove(target)
        part.rename(target)
    else:
        target.mkdir(exist_ok=True)
        for inner in part.iterdir():
            _place(inner, target / inner.name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C off for the moment that the renames take."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
