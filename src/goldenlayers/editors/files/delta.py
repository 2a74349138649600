"""A delta: one safetensors file with the factors, and the record in its header."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from goldenlayers.editors.edit import Edit
from goldenlayers.editors.files.record import (
    FORMAT,
    dumps,
    from_record,
    loads,
    read_sites,
    to_record,
)
from goldenlayers.editors.files.tensors import Wanted, read_metadata, read_tensors
from goldenlayers.errors import ResultError
from goldenlayers.files import write_whole

HEADER = "golden_layers"
SUFFIX = ".safetensors"


def write_delta(edit: Edit, path: Path) -> Path:
    """Write an edit as one file; its folder must exist.

    Tensors are "<site>.left", (d_out, r), "<site>.right", (d_in, r), and, where the editor keeps
    keys, "<site>.keys", (d_in, n).
    """
    record = dumps(to_record(edit))
    tensors = {}
    for update in edit.updates:
        tensors[f"{update.name}.left"] = update.left.detach().cpu().contiguous()
        # a clone: safetensors refuses two names for the same memory
        tensors[f"{update.name}.right"] = update.right.detach().cpu().contiguous().clone()
        if update.keys is not None:
            tensors[f"{update.name}.keys"] = update.keys.detach().cpu().contiguous().clone()
    return write_whole(path, lambda part: save_file(tensors, part, {HEADER: record}))


def read_delta(path: Path) -> Edit:
    """Read an edit from one file.

    Raises:
        ResultError: If it is missing, damaged or of another format.
    """
    text = read_metadata(path).get(HEADER)
    if text is None:
        raise ResultError(
            f"{path}: a safetensors file without an edit's record; expected a delta as "
            "`Edit.save` wrote it"
        )
    record = loads(text, path)
    if record.data.get("format") != FORMAT:
        raise record.wrong("format", FORMAT)
    sites = read_sites(record)
    wanted = {f"{s.name}.left": Wanted((s.d_out, s.rank), s.dtype) for s in sites}
    wanted |= {f"{s.name}.right": Wanted((s.d_in, s.rank), s.dtype) for s in sites}
    wanted |= {f"{s.name}.keys": Wanted((s.d_in, s.keys), s.dtype) for s in sites if s.keys}
    tensors = read_tensors(path, wanted)
    factors = {
        s.name: (
            tensors[f"{s.name}.left"],
            tensors[f"{s.name}.right"],
            tensors.get(f"{s.name}.keys"),
        )
        for s in sites
    }
    return from_record(record.data, factors, str(path))
