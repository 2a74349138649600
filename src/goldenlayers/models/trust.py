"""What is asked of a model's files before transformers reads them: they may be anybody's.

Weights are read from safetensors and GGUF alone: PyTorch's older files (.bin, .pt) are pickles,
which run code when they are read. Code of a model's own runs only where the user says so.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from goldenlayers.errors import ModelError
from goldenlayers.progress import Say, quiet

ADAPTER = "adapter_config.json"
# suffixes of files that can run code when they are read
PICKLES = (
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".pickle",
    ".npz",
    ".npy",
    ".joblib",
    ".msgpack",
    ".h5",
)
READ = "golden-layers reads weights from safetensors and GGUF files alone"
# no model is deeper, and building one layer takes a millisecond
MOST_LAYERS = 1000
MOST_EXPERTS = 4096
_LAYERS = re.compile(r"(n|num)_(\w+_)?(layers?|blocks?)|depth|n_layer", re.IGNORECASE)
_EXPERTS = re.compile(r"(n|num)_(\w+_)?experts", re.IGNORECASE)
DEPTH = 20  # of a configuration
_announced: set[str] = set()
WARNING = (
    "warning: code that comes with the model {name!r} will run now, with all that you may do on "
    "this machine: it is not checked by anybody. You allowed it by --trust-remote-code "
    "(trust_remote_code=True)"
)


def is_pickle(path: Path) -> bool:
    """Return whether a file's name says that reading it could run code."""
    return path.suffix.lower() in PICKLES


def require_folder(name: str, folder: Path) -> None:
    """Refuse a model folder whose weights could run code, or that is only part of a model.

    Args:
        name: What the user calls it.
        folder: The folder; it exists.

    Raises:
        ModelError: If there are no weights that are read, or an adapter lies with the model.
    """
    found = sorted(p.name for p in folder.iterdir())
    if ADAPTER in found:
        # transformers would silently load another base, named there, and the adapter on top
        raise ModelError(
            f"{name}: {ADAPTER} lies in it, so it is an adapter and not a model, or both; put "
            "the adapter onto its base (golden-layers apply, or merge_and_unload of peft), and "
            "give the folder of that"
        )
    pickles = [n for n in found if n.lower().endswith(PICKLES) and n != "training_args.bin"]
    if pickles and not any(n.endswith(".safetensors") for n in found):
        raise ModelError(
            f"{name}: its weights are in {pickles[0]}, a kind of file that can run code when it "
            f"is read; {READ}. Have it converted by whoever made it: "
            "model.save_pretrained(folder) writes safetensors"
        )


def require_no_adapter(name: str, model: Any) -> None:
    """Refuse a model from the hub with an adapter in it; a folder was looked at before.

    Raises:
        ModelError: If transformers put an adapter on it.
    """
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ModelError(
            f"model {name!r}: an adapter lies with it and was put on another base; put it "
            "onto its own base (merge_and_unload of peft), and give that model"
        )


def announce(name: str, trust_remote_code: bool, say: Say) -> None:
    """Say once that a model's own code will run, to whoever listens."""
    if not trust_remote_code or name in _announced:
        return
    _announced.add(name)
    text = WARNING.format(name=name)
    if say is quiet:
        warnings.warn(text, stacklevel=3)
    else:
        say(text)


def require_config(name: str, config: Mapping[str, Any], trust_remote_code: bool) -> None:
    """Refuse a configuration that would take for ever to build, or that names code on the hub.

    Args:
        name: What the user calls the model.
        config: Its configuration as JSON holds it; transformers takes some fields out.
        trust_remote_code: Whether the user said that code from others may run.

    Raises:
        ModelError: If it does.
    """
    for key, value in _fields(config):
        if isinstance(value, int) and not isinstance(value, bool):
            most = _most(key)
            if most is not None and not 0 <= value <= most:
                raise ModelError(
                    f"model {name!r}: its configuration says {key} = {str(value)[:30]}; expected "
                    f"0 to {most}"
                )
        # "attn_implementation": "owner/kernel" has transformers fetch a kernel and run it
        if key.endswith("_implementation") and "/" in str(value) and not trust_remote_code:
            raise ModelError(
                f"model {name!r}: its configuration asks for code from the hub, {key} = "
                f"{str(value)[:80]!r}; take the field out of config.json, or read that code and "
                "give --trust-remote-code"
            )


def _most(key: str) -> int | None:
    if _EXPERTS.fullmatch(key):
        return MOST_EXPERTS
    return MOST_LAYERS if _LAYERS.fullmatch(key) else None


def _fields(value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    if depth > DEPTH:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key), inner
            yield from _fields(inner, depth + 1)
