"""A LoRA adapter as `peft` reads it: the update is exactly of low rank, so nothing is lost.

lora_B @ lora_A = left @ right.T with lora_alpha = r, so that peft's scaling is 1. The two factors
of each rank are given the same size by a power of two, which costs no bit; the exponents are
recorded, so that the edit is read back as it was.

An adapter is mailed, so it names its base as others may read it: "bundled", a name on the hub, or
the last part of a folder's path, never a path of the sender's. Load it as
`PeftModel.from_pretrained(base_model, folder)` with the model of that name; peft finds the base by
itself only on the hub. "bundled" is `goldenlayers.load_model("bundled").model`: its weights
were dequantised from a 4-bit file, so the checkpoint on the hub that it came from is another base.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from goldenlayers.editors.edit import Edit
from goldenlayers.editors.files.fields import Record
from goldenlayers.editors.files.record import (
    dumps,
    from_record,
    public_name,
    read_sites,
    to_record,
)
from goldenlayers.editors.files.tensors import Wanted, read_tensors
from goldenlayers.editors.files.whole import MARK
from goldenlayers.editors.update import Update
from goldenlayers.errors import EditError
from goldenlayers.models import bundled

FORMAT = "golden-layers adapter"
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
LARGEST_EXPONENT = 60


def write_adapter(edit: Edit, folder: Path) -> list[str]:
    """Write the adapter's files into a folder; returns their names."""
    if not edit.updates:
        raise EditError("the edit changes no weight, and an adapter without weights cannot be read")
    # an adapter has no place for keys: a delta keeps them
    bare = replace(edit, updates=tuple(replace(u, keys=None) for u in edit.updates))
    record = to_record(bare) | {"format": FORMAT, "how_to_load": _how_to_load(edit)}
    tensors: dict[str, Tensor] = {}
    for update, described in zip(edit.updates, record["updates"], strict=True):
        exponents = _exponents(update)
        described["exponents"] = exponents
        left, right = scaled(update.left, exponents), scaled(update.right, [-e for e in exponents])
        a, b = _names(update.name)
        tensors[a] = right.T.contiguous()  # (r, d_in)
        tensors[b] = left.contiguous()  # (d_out, r)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    config = json.dumps(_config(edit), indent=2, ensure_ascii=False)
    (folder / CONFIG).write_text(config + "\n", encoding="utf-8")
    (folder / MARK).write_text(dumps(record, indent=1) + "\n", encoding="utf-8")
    return [CONFIG, WEIGHTS, MARK]


def read_adapter(record: Record, folder: Path) -> Edit:
    """Read the edit from an adapter folder that we wrote; `record` is its golden_layers.json."""
    sites = read_sites(record)
    wanted: dict[str, Wanted] = {}
    for site in sites:
        a, b = _names(site.name)
        wanted[a] = Wanted((site.rank, site.d_in), site.dtype)
        wanted[b] = Wanted((site.d_out, site.rank), site.dtype)
    tensors = read_tensors(folder / WEIGHTS, wanted)
    factors = {}
    for site, described in zip(sites, record.records("updates"), strict=True):
        a, b = _names(site.name)
        exponents = described.counts("exponents", least=-LARGEST_EXPONENT, most=LARGEST_EXPONENT)
        if len(exponents) != site.rank:
            raise described.wrong("exponents", "one integer for each rank")
        left = scaled(tensors[b], [-e for e in exponents])
        factors[site.name] = (left, scaled(tensors[a].T.contiguous(), exponents), None)
    return from_record(record.data, factors, record.where)


def scaled(factors: Tensor, exponents: list[int]) -> Tensor:
    """Return (d, r) factors with column k times 2 ** exponents[k]."""
    return factors.detach().cpu() * torch.tensor([2.0**e for e in exponents], dtype=factors.dtype)


def _names(site: str) -> tuple[str, str]:
    return f"{PREFIX}{site}.lora_A.weight", f"{PREFIX}{site}.lora_B.weight"


def _exponents(update: Update) -> list[int]:
    """Return for each rank the power of two that gives both factors about the same norm."""
    left, right = update.left.double().norm(dim=0), update.right.double().norm(dim=0)  # (r,)
    exponents = []
    for k, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        e = round(0.5 * math.log2(b / a)) if a > 0 < b else 0
        e = max(-LARGEST_EXPONENT, min(LARGEST_EXPONENT, e))
        for factor, by in ((update.left, e), (update.right, -e)):
            column = factor[:, k : k + 1].cpu()
            if not torch.equal(scaled(scaled(column, [by]), [-by]), column):
                e = 0  # numbers so small that they would lose bits
        exponents.append(e)
    return exponents


def _config(edit: Edit) -> dict[str, Any]:
    """Return adapter_config.json: what peft's LoraConfig needs, and nothing else."""
    ranks = {update.name: update.rank for update in edit.updates}
    others = {name: rank for name, rank in ranks.items() if rank != edit.rank}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": public_name(edit.base.model),
        "revision": edit.base.model.get("revision"),
        "inference_mode": True,
        "r": edit.rank,
        "lora_alpha": edit.rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(update.transposed for update in edit.updates),
        "init_lora_weights": True,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "target_modules": list(ranks),
        "rank_pattern": others,
        "alpha_pattern": dict(others),
    }


def _how_to_load(edit: Edit) -> str:
    name = public_name(edit.base.model)
    if name == bundled.NAME:
        base = 'goldenlayers.load_model("bundled").model'
    else:
        base = f"the model {name or edit.base.title}, read by transformers"
    return (
        f"peft.PeftModel.from_pretrained(base_model, folder), where base_model is {base}; or "
        "goldenlayers.Edit.load(folder).apply(base_model), which checks the base"
    )
