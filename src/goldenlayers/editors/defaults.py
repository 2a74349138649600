"""The published settings of values, by editor and kind of model."""

from __future__ import annotations

from goldenlayers.editors.value import ValueSettings

# ROME's own file for GPT-2 XL (arXiv 2202.05262), EasyEdit's for GPT-2 XL and GPT-J (R-ROME, arXiv
# 2403.07175): few steps and a strong pull towards a small delta.
_GPT2 = ValueSettings(lr=0.5, steps=20, weight_decay=0.5, clamp=4.0, kl_factor=0.0625)
# EasyEdit's for LLaMA-2, Qwen2.5 and the others.
_LLAMA = ValueSettings(lr=0.5, steps=25, weight_decay=0.001, clamp=4.0, kl_factor=0.0625)
_BY_TYPE = {"gpt2": _GPT2, "gptj": _GPT2}


def published(model_type: str) -> ValueSettings:
    """Return the published settings for a kind of model.

    Args:
        model_type: The configuration's model_type, such as "gpt2" or "llama".
    """
    return _BY_TYPE.get(model_type, _LLAMA)


# MEMIT's own file for GPT-2 XL (arXiv 2210.07229), EasyEdit's for LLaMA-2 and the others.
_MEMIT_GPT2 = ValueSettings(lr=0.5, steps=20, weight_decay=0.5, clamp=0.75, kl_factor=0.0625)
_MEMIT_LLAMA = ValueSettings(lr=0.5, steps=25, weight_decay=0.001, clamp=4.0, kl_factor=0.0625)
# AlphaEdit's own files: as MEMIT's for GPT-2 XL; for LLaMA-3 a value that grows slowly.
_ALPHA_LLAMA = ValueSettings(lr=0.1, steps=25, weight_decay=0.5, clamp=0.75, kl_factor=0.0625)


def batch_published(model_type: str) -> ValueSettings:
    """Return the published settings of MEMIT and EMMET; `model_type` as for `published`."""
    return _MEMIT_GPT2 if model_type in _BY_TYPE else _MEMIT_LLAMA


def alphaedit_published(model_type: str) -> ValueSettings:
    """Return the published settings of AlphaEdit; `model_type` as for `published`."""
    return _MEMIT_GPT2 if model_type in _BY_TYPE else _ALPHA_LLAMA
