"""Where a model lies and how it computes: devices, attention, quantised weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goldenlayers.errors import SettingsError
from goldenlayers.extras import need

ATTENTIONS = ("sdpa", "eager", "flash_attention_2")
QUANTIZE = ("8bit", "4bit")
ALL = "all"


def options(
    place: Any,
    dtype: Any,
    device_map: str | Mapping[str, Any] | None,
    attention: str,
    quantize: str | None,
    keep: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what transformers' `from_pretrained` is to be given beside name and dtype.

    Args:
        place: The device, for a model that lies on one.
        dtype: Of the computation, a dtype of torch or "auto".
        device_map: See `goldenlayers.models.load.load_model`, as the others.
        attention: As there.
        quantize: As there.
        keep: Names of modules that are not quantised, see `kept`; none for transformers' choice.

    Returns:
        Options; "device_map" among them says that the model must not be moved.

    Raises:
        SettingsError: If a setting is unknown, or bitsandbytes is wanted and missing.
    """
    out: dict[str, Any] = {}
    if attention != "auto":
        if attention not in ATTENTIONS:
            raise SettingsError(
                f"attention {attention!r} is unknown; expected auto, {', '.join(ATTENTIONS)}"
            )
        out["attn_implementation"] = attention
    if device_map is not None:
        if isinstance(device_map, str) and device_map != "auto":
            raise SettingsError(f"device map {device_map!r}: expected auto, or a map of modules")
        out["device_map"] = device_map if isinstance(device_map, str) else dict(device_map)
    if quantize is not None:
        out["quantization_config"] = _quantization(quantize, dtype, keep)
        out.setdefault("device_map", {"": str(place)})
    return out


def kept(model: Any, layers: str | Sequence[int], site: str | None) -> list[str]:
    """Return the names of modules that must not be quantised if some layers are to be edited.

    Args:
        model: The model's structure, also on the meta device.
        layers: "all", or the layers as `goldenlayers.models.sites.choose_layers` takes them.
        site: As for `goldenlayers.models.sites.find_sites`.

    Returns:
        The layers' edit sites, and the head, which is never quantised.

    Raises:
        SettingsError: If there is no such layer.
        SiteError: If the edit sites cannot be found.
    """
    from goldenlayers.models.sites import choose_layers, find_sites

    sites = choose_layers(find_sites(model, site), None if layers == ALL else layers)
    head = model.get_output_embeddings()
    names = [name for name, module in model.named_modules() if module is head]
    return [*names, *(site.name for site in sites)]


def _quantization(quantize: str, dtype: Any, keep: Sequence[str]) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if quantize not in QUANTIZE:
        raise SettingsError(
            f"quantize {quantize!r} is unknown; expected one of {', '.join(QUANTIZE)}"
        )
    need("bitsandbytes", "quantized", "quantised weights need", "load the model as it is")
    plain = list(keep) or None
    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=plain)
    compute = dtype if isinstance(dtype, torch.dtype) else torch.bfloat16
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_compute_dtype=compute, llm_int8_skip_modules=plain
    )
