"""The record of an edit: everything but the factors, as JSON, written and read strictly."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from torch import Tensor

from goldenlayers.editors.base import Base, Fingerprint
from goldenlayers.editors.edit import Edit
from goldenlayers.editors.files.fields import Record
from goldenlayers.editors.outcome import Outcome, Step
from goldenlayers.editors.samples import SAMPLES
from goldenlayers.editors.update import Update
from goldenlayers.errors import EditError, ResultError
from goldenlayers.facts.validate import RecordError, fact_from_record
from goldenlayers.typed import decoded

FORMAT = "golden-layers edit"
FORMAT_VERSION = 1
NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
LONGEST_NAME = 500
HUB_NAME = re.compile(r"\w[\w.-]{0,95}(/\w[\w.-]{0,95})?")
LARGEST = 1 << 24  # features; a site that is wider does not exist


def to_record(edit: Edit) -> dict[str, Any]:
    """Return everything but the factors, ready for JSON.

    Raises:
        EditError: If it could not be read back: a factor that is not finite, a fact that is none,
            a weight without a fingerprint, or a detail that is no JSON.
    """
    edit.require_fingerprints()
    for update in edit.updates:
        if not update.finite:
            raise EditError(
                f"the update of {update.name!r} holds numbers that are not finite; it is not saved"
            )
    record = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "editor": edit.editor,
        "updates": [
            {
                "layer": update.layer,
                "name": update.name,
                "transposed": update.transposed,
                "rank": update.rank,
                "d_in": update.right.shape[0],
                "d_out": update.left.shape[0],
                "dtype": str(update.left.dtype).removeprefix("torch."),
                "norm": update.norm,
                **({} if update.keys is None else {"keys": update.keys.shape[1]}),
            }
            for update in edit.updates
        ],
        "outcomes": [_outcome(outcome) for outcome in edit.outcomes],
        "settings": _plain(edit.settings),
        "base": {
            "model": _plain({**edit.base.model, **_public(edit.base.model)}),
            "weights": {u.name: _plain(asdict(edit.base.weights[u.name])) for u in edit.updates},
            "others": _plain(edit.base.others),
        },
        "versions": _plain(edit.versions),
        "seconds": _plain(edit.seconds),
    }
    try:
        from_record(record, {u.name: (u.left, u.right, u.keys) for u in edit.updates}, "this edit")
    except ResultError as error:
        raise EditError(f"not saved, because it could not be read back: {error}") from error
    return record


def public_name(model: Mapping[str, Any]) -> str | None:
    """Return a model's name as others may read it: a folder's last part, never the path to it.

    Args:
        model: `ModelIdentity.to_dict()`.

    Returns:
        "bundled", a name on the hub, or the name of a folder or a file; None if it has no name.
    """
    name = model.get("name")
    if not isinstance(name, str) or not name:
        return None
    # the files of a model are hashed if it came from disk
    if HUB_NAME.fullmatch(name) and not model.get("files") and not Path(name).exists():
        return name
    return PureWindowsPath(name).name or "a local folder"  # takes both kinds of slash


def _public(model: Mapping[str, Any]) -> dict[str, str]:
    name, title = public_name(model), model.get("title")
    public = {} if name is None else {"name": name}
    return public | ({"title": PureWindowsPath(title).name} if isinstance(title, str) else {})


def dumps(record: Mapping[str, Any], indent: int | None = None) -> str:
    """Return the record as JSON text."""
    return json.dumps(record, indent=indent, ensure_ascii=False, allow_nan=False)


def loads(text: str | bytes, where: object) -> Record:
    """Decode a record and check that it is one of ours.

    Raises:
        ResultError: If it is not.
    """
    try:
        data = decoded(text)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{where}: not readable as JSON: {str(error)[:200]}") from None
    if not isinstance(data, dict):
        raise ResultError(f"{where}: not an edit; expected what `Edit.save` wrote")
    version = data.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise ResultError(
            f"{where}: format version {str(version)[:20]}; this golden-layers reads "
            f"{FORMAT_VERSION}"
        )
    return Record(data, str(where))


@dataclass(frozen=True)
class SiteRecord:
    """What a record says of one update: all but the factors."""

    layer: int
    name: str
    transposed: bool
    rank: int
    d_in: int
    d_out: int
    dtype: str
    keys: int = 0


def read_sites(record: Record) -> list[SiteRecord]:
    """Return what the record says of the updates, checked.

    Raises:
        ResultError: If something is missing, of the wrong kind or out of range.
    """
    sites = []
    for update in record.records("updates"):
        name, dtype = update.text("name"), update.text("dtype")
        if len(name) > LONGEST_NAME or not NAME.fullmatch(name):
            raise update.wrong("name", "the dotted name of a module")
        if dtype not in ("float32", "float64"):
            raise update.wrong("dtype", "float32 or float64")
        rank, d_in, d_out = (update.count(key, 1, LARGEST) for key in ("rank", "d_in", "d_out"))
        layer, transposed = update.count("layer", 0, 1 << 16), update.flag("transposed")
        keys = update.count("keys", 1, LARGEST) if "keys" in update.data else 0
        sites.append(SiteRecord(layer, name, transposed, rank, d_in, d_out, dtype, keys))
    if len({site.name for site in sites}) < len(sites):
        raise record.wrong("updates", "each site once")
    return sites


def from_record(
    data: Mapping[str, Any],
    factors: Mapping[str, tuple[Tensor, Tensor, Tensor | None]],
    where: str,
) -> Edit:
    """Build the edit from its record and its factors, (left, right, keys or None) by site.

    Raises:
        ResultError: If anything in the record is missing or not what it should be.
    """
    record = Record(data, where)
    updates = []
    for site in read_sites(record):
        updates.append(Update(site.layer, site.name, site.transposed, *factors[site.name]))
        if not updates[-1].finite:
            raise ResultError(f"{where}: the factors of {site.name!r} hold NaN or infinity")
    return Edit(
        editor=record.text("editor"),
        updates=tuple(updates),
        outcomes=tuple(_read_outcome(outcome) for outcome in record.records("outcomes")),
        settings=record.mapping("settings"),
        base=_read_base(record.record("base"), updates),
        versions=record.mapping("versions"),
        seconds={k: Record({k: v}, where).number(k) for k, v in record.mapping("seconds").items()},
    )


def _outcome(outcome: Outcome) -> dict[str, Any]:
    fact = outcome.fact.to_record()
    return {
        **_plain({**_fields(outcome), "steps": [asdict(s) for s in outcome.steps]}),
        "fact": fact,
    }


def _fields(outcome: Outcome) -> dict[str, Any]:
    names = ("layers", "status", "reason", "nll_before", "nll_after", "rewritten", "details")
    return {name: getattr(outcome, name) for name in names}


def _read_outcome(record: Record) -> Outcome:
    try:
        fact = fact_from_record(record.mapping("fact"))
    except RecordError as error:
        raise ResultError(f"{record.where}: 'fact': {error}") from None
    return Outcome(
        fact=fact,
        layers=tuple(record.counts("layers")),
        status=record.text("status"),
        reason=record.text("reason"),
        nll_before=record.number("nll_before"),
        nll_after=record.number("nll_after"),
        rewritten=record.flag("rewritten"),
        steps=tuple(
            Step(**{key: step.number(key) for key in Step.__dataclass_fields__})
            for step in record.records("steps")
        ),
        details=record.mapping("details"),
    )


def _read_base(record: Record, updates: list[Update]) -> Base:
    weights = record.record("weights")
    if set(weights.data) != {update.name for update in updates}:
        raise record.wrong("weights", "one fingerprint for each site that is changed")
    others = record.mapping("others") if "others" in record.data else {}  # an older file has none
    for name, found in others.items():
        if not isinstance(found, str) or not re.fullmatch(r"[0-9a-f]{8}", found):
            raise Record(others, f"{record.where}: others").wrong(name, "8 hexadecimal digits")
    return Base(
        record.mapping("model"),
        {u.name: _fingerprint(weights.record(u.name), u) for u in updates},
        others,
    )


def _fingerprint(record: Record, update: Update) -> Fingerprint:
    digest, dtype = record.text("sha256"), record.text("dtype")
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise record.wrong("sha256", "64 hexadecimal digits")
    if dtype not in ("float32", "bfloat16", "float16", "float64"):
        raise record.wrong("dtype", "float32, bfloat16, float16 or float64")
    shape = tuple(record.counts("shape"))
    if shape != update.shape:
        raise record.wrong("shape", f"that of the update, {list(update.shape)}")
    sample = tuple(record.numbers("sample"))
    if len(sample) != SAMPLES or not all(map(math.isfinite, sample)):
        raise record.wrong("sample", f"{SAMPLES} finite numbers")
    return Fingerprint(digest, dtype, shape, sample)


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it; a loss that is not finite becomes "nan" or "inf"."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise EditError(
        f"the edit's record holds a {type(value).__name__} ({str(value)[:40]!r}), "
        "which JSON cannot; expected numbers, texts, lists and mappings"
    )
