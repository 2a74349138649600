"""Reading tensors from a safetensors file that somebody else may have written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from goldenlayers.errors import ResultError

CODES = {"float32": "F32", "float64": "F64"}


@dataclass(frozen=True)
class Wanted:
    """What a tensor must be.

    Attributes:
        shape: Its shape.
        dtype: "float32" or "float64".
    """

    shape: tuple[int, ...]
    dtype: str


def read_metadata(path: Path) -> dict[str, str]:
    """Return the header's metadata.

    Raises:
        ResultError: If the file is missing or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except FileNotFoundError:
        raise ResultError(f"{path}: no such file; expected what `Edit.save` wrote") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise ResultError(
            f"{path}: not readable as safetensors: {str(error)[:200]}; expected an edit as "
            "`Edit.save` wrote it (other formats are never read: they can run code)"
        ) from None


def read_tensors(path: Path, wanted: Mapping[str, Wanted]) -> dict[str, Tensor]:
    """Read exactly the wanted tensors; names, shapes and dtypes are checked before any is read.

    Raises:
        ResultError: If one is missing, not as wanted, or there are others.
    """
    read_metadata(path)  # for the message if the file is no good
    with safe_open(path, framework="pt") as file:
        there = set(file.keys())
        missing, others = sorted(set(wanted) - there), sorted(there - set(wanted))
        if missing or others:
            what = f"{missing[0]!r} is missing" if missing else f"{others[0]!r} does not belong"
            raise ResultError(
                f"{path}: the tensors are not those of the record: {what} "
                f"({len(missing)} missing, {len(others)} too many)"
            )
        for name, expected in wanted.items():
            part = file.get_slice(name)
            shape, code = tuple(part.get_shape()), str(part.get_dtype())
            if shape != expected.shape or code != CODES[expected.dtype]:
                raise ResultError(
                    f"{path}: {name!r} is {shape} {code}, expected {expected.shape} "
                    f"{CODES[expected.dtype]} as the record says"
                )
        # a copy, so that the file may be replaced while the edit is in use
        return {name: file.get_tensor(name).clone() for name in wanted}
