"""Second moments on disk: one safetensors file each, named by its key and checked when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from goldenlayers.covariance.key import key_hash
from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.disk import not_written
from goldenlayers.errors import ResultError, SettingsError
from goldenlayers.files import write_whole
from goldenlayers.models.bundled import cache_dir


def covariance_folder(cache: Path | None = None) -> Path:
    """Return the folder of the second moments, `cache` or the one in golden-layers' cache."""
    return (cache_dir() / "covariance") if cache is None else Path(cache).expanduser()


def make_folder(folder: Path) -> None:
    """Make a folder that can be written.

    Raises:
        SettingsError: If it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{id(folder)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingsError(
            f"{folder}: the second moments cannot be kept there ({error.strerror}); set "
            "GOLDENLAYERS_CACHE to a folder that can be written, or name one (cache=..., --cache)"
        ) from error


def moment_path(folder: Path, key: Mapping[str, Any]) -> Path:
    """Return where the second moment of that key lies."""
    return folder / f"layer-{key['layer']:02d}-{key_hash(key)[:24]}.safetensors"


def save_moment(folder: Path, moment: KeyMoment) -> KeyMoment:
    """Write a second moment whole, and return it with its path."""
    record = {
        "key": json.dumps(dict(moment.key), sort_keys=True),
        "tokens": str(moment.tokens),
        "info": json.dumps(dict(moment.info)),
        "sha256": tensor_hash(moment.sum),
    }
    path = moment_path(folder, moment.key)
    write_tensors(path, {"sum": moment.sum}, record)
    return replace(moment, path=path)


def load_moment(folder: Path, key: Mapping[str, Any]) -> KeyMoment:
    """Read the second moment of `key`, and check it.

    Raises:
        ResultError: If the file is missing, damaged, or holds anything but what `key` says.
    """
    path = moment_path(folder, key)
    tensors, record = read_tensors(path)
    try:
        found = json.loads(record["key"])
        tokens, info = int(record["tokens"]), json.loads(record["info"])
        total, sha256 = tensors["sum"], record["sha256"]
    except (KeyError, ValueError) as error:
        raise ResultError(
            f"{path}: no second moment as golden-layers writes it: {str(error)[:200]}"
        ) from None
    if found != json.loads(json.dumps(dict(key))):
        other = next((n for n in key if not isinstance(found, dict) or found.get(n) != key[n]), "?")
        raise ResultError(f"{path}: it was made for another {other}; its name says otherwise")
    width, dtype = key["width"], getattr(torch, key["dtype"])
    if tuple(total.shape) != (width, width) or total.dtype != dtype:
        raise ResultError(
            f"{path}: {tuple(total.shape)} {total.dtype}; expected {(width, width)} {dtype}"
        )
    if tensor_hash(total) != sha256:
        raise ResultError(f"{path}: damaged: its numbers do not have the SHA-256 that it names")
    if tokens < 1 or not bool(total.isfinite().all()) or not torch.equal(total, total.T):
        raise ResultError(f"{path}: no second moment: not finite, not symmetric, or of no tokens")
    return KeyMoment(key["layer"], key["site"], total, tokens, dict(key), info, path)


def other_formats(folder: Path, keys: Iterable[Mapping[str, Any]]) -> dict[int, Any]:
    """Return by layer the format of second moments that another version wrote of the same things.

    Only the records at the files' beginnings are read.

    Args:
        folder: Where they lie.
        keys: Those that are not there in this version's format.
    """
    found = {}
    for key in keys:
        bare = json.loads(json.dumps({n: v for n, v in key.items() if n != "format"}))
        for path in folder.glob(f"layer-{key['layer']:02d}-*.safetensors"):
            try:
                with safe_open(path, framework="pt") as file:
                    there = json.loads((file.metadata() or {})["key"])
                if {n: v for n, v in there.items() if n != "format"} == bare:
                    found[key["layer"]] = there.get("format")
            except (OSError, SafetensorError, KeyError, ValueError, AttributeError, RecursionError):
                continue  # damaged, and of no name that is looked for
    return found


def tensor_hash(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's numbers."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest()


def write_tensors(path: Path, tensors: dict[str, Tensor], record: dict[str, str]) -> None:
    """Write tensors and a record of text whole.

    Raises:
        ResultError: If the file cannot be written.
    """
    try:
        write_whole(path, lambda part: save_file(tensors, part, record))
    except (OSError, SafetensorError) as error:
        raise not_written(path, error) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `write_tensors` wrote, into memory of its own.

    Raises:
        ResultError: If the file is missing or not in the safetensors format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            # cloned: memory that is mapped from the file would change with it
            names = list(file.keys())
            tensors = {name: file.get_tensor(name).clone() for name in names}
            return tensors, dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ResultError(f"{path}: cannot be read: {str(error)[:200]}") from error
