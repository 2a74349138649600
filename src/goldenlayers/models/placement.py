"""Where a model lies and how it computes: devices, attention, quantised weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from goldenlayers.errors import SettingsError
from goldenlayers.extras import need

ATTENTIONS = ("sdpa", "eager", "flash_attention_2")
QUANTIZE = ("8bit", "4bit")


def options(
    place: Any,
    dtype: Any,
    device_map: str | Mapping[str, Any] | None,
    attention: str,
    quantize: str | None,
) -> dict[str, Any]:
    """Return what transformers' `from_pretrained` is to be given beside name and dtype.

    Args:
        place: The device, for a model that lies on one.
        dtype: Of the computation, a dtype of torch or "auto".
        device_map: See `goldenlayers.models.load.load_model`, as the others.
        attention: As there.
        quantize: As there.

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
        out["quantization_config"] = _quantization(quantize, dtype)
        out.setdefault("device_map", {"": str(place)})
    return out


def _quantization(quantize: str, dtype: Any) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if quantize not in QUANTIZE:
        raise SettingsError(
            f"quantize {quantize!r} is unknown; expected one of {', '.join(QUANTIZE)}"
        )
    need("bitsandbytes", "quantized", "quantised weights need", "load the model as it is")
    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    compute = dtype if isinstance(dtype, torch.dtype) else torch.bfloat16
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=compute)
