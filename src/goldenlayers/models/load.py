"""Loading a model by name or path, with a message for each way in which that goes wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from goldenlayers.errors import ModelError, SettingsError
from goldenlayers.models import bundled, placement, trust
from goldenlayers.models.identity import ModelIdentity, identify
from goldenlayers.models.resolve import explain, resolve
from goldenlayers.progress import quiet

DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")
HASHED = ("*.safetensors", "*.safetensors.index.json", "config.json", "tokenizer.json")


@dataclass(frozen=True)
class LoadedModel:
    """A model, its tokenizer, and which model it is."""

    model: Any
    tokenizer: Any
    identity: ModelIdentity


def load_model(
    name: str = bundled.NAME,
    *,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    trust_remote_code: bool = False,
    device_map: str | Mapping[str, Any] | None = None,
    attention: str = "auto",
    quantize: str | None = None,
    edit_layers: str | Sequence[int] | None = None,
    site: str | None = None,
    say: bundled.Say = quiet,
) -> LoadedModel:
    """Load a causal language model and its tokenizer.

    Args:
        name: "bundled", a local folder, a .gguf file, or a name on the Hugging Face hub.
        device: "auto" (a GPU if there is one), or a device of torch, such as "cpu" or "cuda:1".
        dtype: "auto" (float32 on the CPU, the checkpoint's own on a GPU) or one of `DTYPES`.
        revision: Branch, tag or commit, for a name on the hub.
        trust_remote_code: Run code that comes with the model. Only for sources that you trust.
        device_map: Spread the model over several devices: "auto" (all GPUs, then the CPU), or a
            map from modules to devices as transformers takes it, "disk" included. What is offloaded
            can be looked at but not edited.
        attention: "auto" (transformers' choice), or one of `ATTENTIONS`.
        quantize: "8bit" or "4bit" (needs bitsandbytes): enough to choose a layer, since no weight
            gradient is formed; such weights cannot be edited.
        edit_layers: With `quantize`, the layers that are to be edited: "all", numbers, or text
            such as "3,5-8". Their edit sites keep the checkpoint's numbers; all else is quantised.
        site: With `edit_layers`, the edit site's name, as for `goldenlayers.find`.
        say: Called with one line before each step that takes seconds.

    Returns:
        The model in evaluation mode, its fast tokenizer, its identity.

    Raises:
        ModelError: If there is no such model or it cannot be loaded.
        SettingsError: If `device`, `dtype` or another setting is unknown, bitsandbytes is wanted
            and missing, or there is no such layer.
        SiteError: If the sites of `edit_layers` cannot be found.
    """
    import torch
    from transformers import AutoModelForCausalLM

    place = _device(device)
    if dtype not in DTYPES:
        raise SettingsError(f"dtype {dtype!r} is unknown; expected one of {', '.join(DTYPES)}")
    if device_map is not None and device != "auto":
        raise SettingsError(f"device {device!r} and a device map both say where; give one of them")
    source, options = resolve(name, say)
    trust.announce(name, trust_remote_code, say)
    if dtype == "auto":
        chosen: Any = torch.float32 if place.type == "cpu" else "auto"
    else:
        chosen = getattr(torch, dtype)
    options |= {"trust_remote_code": trust_remote_code}
    if revision is not None:
        options["revision"] = revision
    keep: list[str] = []
    if quantize is not None and edit_layers is not None:
        empty = load_empty(name, revision=revision, trust_remote_code=trust_remote_code, say=say)
        keep = placement.kept(empty, edit_layers, site)
    how = placement.options(place, chosen, device_map, attention, quantize, keep)
    if "gguf_file" in options:
        say(f"reading {name} (a GGUF file is dequantised on every load)")
    with bundled.quiet_transformers():
        try:
            _config(name, source, options)
            tokenizer = _tokenizer(source, options)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source, dtype=chosen, use_safetensors=True, output_loading_info=True,
                **options, **how,
            )  # fmt: skip
            model, info = loaded
            _require_all_weights(name, info)
            trust.require_no_adapter(name, model)
            model = (model if "device_map" in how else model.to(place)).eval()
        except ModelError:
            raise
        except Exception as error:  # transformers raises nearly every class of error here
            raise explain(name, source, error) from error
    if "gguf_file" in options:
        bundled.unmark_quantised(model)
    identity = identify(model, name, _hashes(source, options))
    return LoadedModel(model, tokenizer, replace(identity, quantized=quantize))


def load_tokenizer(
    name: str = bundled.NAME,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    say: bundled.Say = quiet,
) -> tuple[Any, int | None]:
    """Load a model's tokenizer and read how long its context is, without its weights.

    Args:
        name: As for `load_model`.
        revision: As for `load_model`.
        trust_remote_code: As for `load_model`.
        say: As for `load_model`.

    Returns:
        The fast tokenizer, and the context in tokens, None where there is no such bound.

    Raises:
        ModelError: If there is no such model or it has no tokenizer.
    """
    source, options = resolve(name, say)
    trust.announce(name, trust_remote_code, say)
    options |= {"trust_remote_code": trust_remote_code}
    if revision is not None:
        options["revision"] = revision
    with bundled.quiet_transformers():
        try:
            config = _config(name, source, options)
            tokenizer = _tokenizer(source, options)
        except ModelError:
            raise
        except Exception as error:  # as in `load_model`
            raise explain(name, source, error) from error
    text = config.get_text_config()
    return tokenizer, getattr(text, "max_position_embeddings", None)


def load_empty(
    name: str = bundled.NAME,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    say: bundled.Say = quiet,
) -> Any:
    """Build a model's structure without its weights, on the meta device.

    Args:
        name: As for `load_model`.
        revision: As for `load_model`.
        trust_remote_code: As for `load_model`.
        say: As for `load_model`.

    Returns:
        The model; its tensors have shapes and dtypes but no storage.

    Raises:
        ModelError: If there is no such model or its configuration cannot be used.
    """
    import torch
    from transformers import AutoModelForCausalLM

    source, options = resolve(name, say)
    trust.announce(name, trust_remote_code, say)
    options |= {"trust_remote_code": trust_remote_code}
    with bundled.quiet_transformers():
        try:
            config = _config(name, source, options | {"revision": revision})
            options.pop("gguf_file", None)
            dtype = getattr(config, "dtype", None) or torch.float32
            with torch.device("meta"):
                return AutoModelForCausalLM.from_config(config, dtype=dtype, **options)
        except ModelError:
            raise
        except Exception as error:
            raise explain(name, source, error) from error


def _config(name: str, source: str, options: Mapping[str, Any]) -> Any:
    """Return a model's configuration, if it is one that may be built."""
    from transformers import AutoConfig, PretrainedConfig

    told, _ = PretrainedConfig.get_config_dict(source, **options)
    trust.require_config(name, told, bool(options["trust_remote_code"]))
    return AutoConfig.from_pretrained(source, **options)


def _tokenizer(source: str, options: Mapping[str, Any]) -> Any:
    """Return a model's tokenizer, which has taken a word: some damage shows only then."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True, **options)
        tokenizer("a", return_offsets_mapping=tokenizer.is_fast)
        return tokenizer
    except BaseException as error:
        # what the tokenizers library raises where its Rust gives up is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"the tokenizer is damaged: {error}") from error


def _require_all_weights(name: str, info: dict[str, Any]) -> None:
    """Refuse a checkpoint with gaps: transformers fills them with random numbers."""
    missing = sorted(info.get("missing_keys", ()))
    mismatched = sorted(
        str(m[0] if isinstance(m, tuple) else m) for m in info.get("mismatched_keys", ())
    )
    if missing or mismatched:
        what = f"{len(missing)} weights are missing" if missing else "weights have another shape"
        raise ModelError(
            f"model {name!r} is incomplete: {what} "
            f"({', '.join((missing or mismatched)[:3])} …) and "
            "would be random numbers; expected a checkpoint of the whole causal language model"
        )


def _device(device: str) -> Any:
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise SettingsError(f"device {device!r} cannot be used: {first[:200]}") from error
    if place.type == "meta":
        raise SettingsError("device 'meta' holds no numbers; choose cpu or a GPU")
    return place


def _hashes(source: str, options: dict[str, Any]) -> dict[str, str]:
    """Hash the files of a local model (about a second per GB); nothing for one from the hub."""
    folder = Path(source)
    if "gguf_file" in options:
        paths = [folder / options["gguf_file"]]
    elif folder.is_dir():
        paths = sorted({p for pattern in HASHED for p in folder.glob(pattern)})
    else:
        return {}
    hashes = {}
    for path in paths:
        with path.open("rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes
