"""What the user's name for a model means, and what to do when it means nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from goldenlayers.errors import ModelError
from goldenlayers.models import bundled
from goldenlayers.models.cut_short import what_is_cut_short
from goldenlayers.models.gguf_header import require_header
from goldenlayers.models.trust import READ, is_pickle, require_folder
from goldenlayers.progress import quiet


def resolve(name: str, say: bundled.Say = quiet) -> tuple[str, dict[str, Any]]:
    """Return what transformers is to be given: a folder or hub name, and extra options."""
    if name == bundled.NAME:
        return str(bundled.ensure_bundled(say)), {}
    if not name.strip():
        raise ModelError("the model's name is empty; expected a folder, a .gguf file or a hub name")
    try:
        return _local(name, Path(name).expanduser()) or (name, {})
    except (OSError, RuntimeError) as error:  # a name too long, a home folder that is not there
        raise ModelError(f"model {name!r}: cannot be read as a path: {error}") from error


def _local(name: str, path: Path) -> tuple[str, dict[str, Any]] | None:
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise ModelError(f"{name}: no such file; expected a GGUF file")
        require_header(name, path)
        return str(path.parent), {"gguf_file": path.name}
    if path.is_dir():
        if not (path / "config.json").is_file():
            found = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
            raise ModelError(
                f"{name}: a folder without config.json (found {found}); expected a model folder as "
                "model.save_pretrained writes it, or the path of a .gguf file"
            )
        require_folder(name, path)
        return str(path), {}
    if path.exists():
        why = f" ({path.suffix} can run code when it is read)" if is_pickle(path) else ""
        raise ModelError(
            f"{name}: a file{why}; expected a model folder, a .gguf file or a hub name; {READ}"
        )
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(f"{name}: no such folder; expected a model folder or a .gguf file")
    return None


def explain(name: str, source: str, error: Exception) -> ModelError:
    """Return a `ModelError` that says what to do about an error of transformers."""
    first = next((s.strip() for s in str(error).splitlines() if s.strip()), type(error).__name__)
    text = f"{type(error).__name__} {error}".casefold()
    if "gated" in text or "401" in text or "403" in text:
        hint = "the model is gated or private: accept its licence on the hub, then `hf auth login`"
    elif "trust_remote_code" in text or "custom code" in text:
        hint = "it brings code of its own: read that code, then give --trust-remote-code"
    elif "out of memory" in text or isinstance(error, MemoryError):
        hint = "it does not fit: try --dtype bfloat16, another --device, or a smaller model"
    elif name.endswith(".gguf"):
        hint = "the GGUF file is damaged, or of an architecture that transformers cannot read"
    elif Path(source).is_dir() and (cut := what_is_cut_short(Path(source))) is not None:
        again = (
            f"delete {source}, and the next call makes it anew" if name == bundled.NAME
            else "copy or download it again"
        )  # fmt: skip
        hint = f"{cut}; {again}"
    elif Path(source).is_dir():
        hint = (
            "the folder is not a complete causal language model with safetensors weights "
            "and a tokenizer"
        )
    else:
        hint = (
            "it is no local folder, and the hub has no such model or cannot be reached; "
            "check the spelling (owner/name), or download the model and give its folder"
        )
    return ModelError(f"model {name!r} cannot be loaded: {first[:300]} [{hint}]")
