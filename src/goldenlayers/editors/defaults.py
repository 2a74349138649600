"""The published settings of values, by family of editors and kind of model."""

from __future__ import annotations

from dataclasses import replace

from goldenlayers.editors.value import ValueSettings

# Few steps and a strong pull towards a small delta; and many steps with next to none.
_SHORT = ValueSettings(lr=0.5, steps=20, weight_decay=0.5, clamp=4.0, kl_factor=0.0625)
_LONG = ValueSettings(lr=0.5, steps=25, weight_decay=0.001, clamp=4.0, kl_factor=0.0625)
# By family: the settings for GPT-2 and GPT-J, and for LLaMA and all others.
_PUBLISHED = {
    # ROME's own file for GPT-2 XL (arXiv 2202.05262), EasyEdit's for the others (R-ROME, arXiv
    # 2403.07175)
    "rome": (_SHORT, _LONG),
    # MEMIT's own file for GPT-2 XL (arXiv 2210.07229), EasyEdit's for LLaMA-2
    "memit": (replace(_SHORT, clamp=0.75), _LONG),
    # AlphaEdit's own files (arXiv 2410.02355); LLaMA-3's value grows slowly
    "alphaedit": (
        replace(_SHORT, clamp=0.75),
        replace(_SHORT, steps=25, lr=0.1, clamp=0.75),
    ),
    # PMET's own file for GPT-J (arXiv 2308.08742), EasyEdit's for LLaMA-2-7B; both deltas
    "pmet": (
        replace(_SHORT, lr=0.2, steps=30, clamp=0.75, kl_factor=1.0),
        replace(_SHORT, clamp=1.0),
    ),
}


def like_gpt2(model_type: str) -> bool:
    """Whether the settings published for GPT-2 XL are meant.

    Args:
        model_type: The configuration's model_type, such as "gpt2" or "llama".
    """
    return model_type in ("gpt2", "gptj")


def published(model_type: str, family: str = "rome") -> ValueSettings:
    """Return the published settings for a kind of model.

    Args:
        model_type: As for `like_gpt2`.
        family: "rome" (R-ROME too), "memit" (EMMET too), "alphaedit" or "pmet".
    """
    return _PUBLISHED[family][not like_gpt2(model_type)]
