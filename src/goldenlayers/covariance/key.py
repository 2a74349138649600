"""What a second moment is made from: the key under which it is kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from goldenlayers.models.content import content_hash
from goldenlayers.models.sites import EditSite

FORMAT = 1
# Entries of a configuration that say where a model came from, not what it computes.
NOT_CONTENT = {"transformers_version", "dtype", "torch_dtype", "architectures", "use_cache"}


def model_key(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Return which model and tokenizer these are, by content.

    The weights alone do not tell: a rotary base or a window length changes the keys too, and the
    tokenizer decides what a text is.
    """
    return {"weights": content_hash(model)} | model_kind(model, tokenizer)


def model_kind(model: Any, tokenizer: Any) -> dict[str, Any]:
    """Return what `model_key` says beside the weights: the same for an edited model."""
    return {
        "config": key_hash(_content(model.config.to_dict())),
        "architecture": type(model).__name__,
        "tokenizer": _tokenizer_hash(tokenizer),
    }


def moment_key(
    model: Mapping[str, Any],
    site: EditSite,
    text: Mapping[str, Any],
    tokens: int,
    length: int,
    dtype: str,
) -> dict[str, Any]:
    """Return the key of one layer's second moment.

    Args:
        model: From `model_key`.
        site: The edit site.
        text: Identity of the text source.
        tokens: Wanted number of tokens.
        length: Length of a window, tokens.
        dtype: Dtype of the sum.
    """
    return {
        "format": FORMAT,
        "model": dict(model),
        "layer": site.layer,
        "site": site.name,
        "width": site.d_in,
        "text": dict(text),
        "tokens": tokens,
        "length": length,
        "dtype": dtype,
    }


def key_hash(key: Any) -> str:
    """Return the SHA-256 of anything that JSON can say, in hexadecimal."""
    text = json.dumps(key, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _content(config: Any) -> Any:
    if isinstance(config, dict):
        return {
            str(name): _content(value)
            for name, value in config.items()
            if name not in NOT_CONTENT and not str(name).startswith("_")
        }
    return config


def _tokenizer_hash(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return key_hash([type(tokenizer).__name__, tokenizer.get_vocab()])
    state = json.loads(backend.to_str())
    for setting in ("padding", "truncation"):  # left over from whoever called it last
        state.pop(setting, None)
    return key_hash(state)
