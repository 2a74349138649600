"""What could not be written, and what to do about it."""

from __future__ import annotations

from pathlib import Path

from goldenlayers.errors import ResultError

# How the system, SQLite and safetensors say it; they share no class of error, and no number.
FULL = ("no space left", "disk is full", "file too large", "quota")
CLOSED = ("permission denied", "read-only", "readonly", "not permitted")


def reason(error: Exception) -> str:
    """Return what a failed write says and, where that can be told, what to do."""
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    low = said.casefold()
    if any(words in low for words in FULL):
        return f"{said}; free some space, or choose a folder on another disk"
    if any(words in low for words in CLOSED):
        return f"{said}; choose a folder that you may write to"
    return said


def not_written(place: Path | str, error: Exception) -> ResultError:
    """Return the error for a file or folder that could not be written.

    Args:
        place: The file or folder.
        error: Of the system, SQLite or safetensors.
    """
    return ResultError(f"{place}: cannot be written: {reason(error)}")
