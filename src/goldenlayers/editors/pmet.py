"""PMET: MEMIT with a value of its own, and with larger shares for the lower layers.

    delta_mlp, delta_attn = argmin nll + KL + decay          arXiv 2308.08742
    R_l = (v - o) / sqrt(layers that are left)

Two deltas are trained together at the subject's last token of the window's last layer: one is added
to what the MLP writes (the edit site), one to what the attention writes. The second takes what is
not the MLP's to store; it is thrown away, and the update makes the MLP write v = v0 + delta_mlp.
The closed form is MEMIT's.

The rest is as in the published code (github.com/xpq-tech/PMET, edit/pmet, which EasyEdit has too):
  - The clamp and the decay measure each delta by the clean output of its own module for the bare
    prompt, not by the residual stream; the decay is the sum of both terms. nll, KL, learning rate
    and Adam's state are as MEMIT's.
  - When each token of the answer is the likeliest under every template, training ends if the KL
    term is at most 0.01 nats; if not, the nll counts a tenth in the next step.
  - o is what the last site writes once the layers below are edited, and not the stream. What a
    lower layer writes reaches it by detours alone: where it does not at all, every layer is given
    all of delta_mlp to share, and a window of five writes 3.2 times that.
  - lambda, as MEMIT's, is carried over by the width of the key: 6,000 at GPT-J's 16,384 features
    (the authors' file; EasyEdit's says 15,000) or 15,000 at LLaMA-2-7B's 11,008. GPT-NeoX gets
    LLaMA's settings here; its own file has clamp 0.8, 30 steps and a KL factor of 0.8.

Where attention and MLP stand side by side (GPT-J and GPT-NeoX, on which it was published), both
deltas are added to one stream, and the MLP is made to write only its part of what was trained.
Where a norm stands behind the MLP, one layer is edited as elsewhere, for v is what the site writes;
a window is refused as MEMIT's is: by its norm each layer's output has a scale of its own.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from goldenlayers.editors.fact_value import Beside
from goldenlayers.editors.memit import MEMIT
from goldenlayers.editors.outcome import Step
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.training import Training
from goldenlayers.errors import SettingsError, SiteError
from goldenlayers.models.landmarks import find_landmarks
from goldenlayers.models.sites import EditSite

RELAXED = 0.1  # what the nll counts once the answer is the likeliest
MOST_KL = 0.01  # nats: then training ends


@dataclass(frozen=True)
class PMET(MEMIT):
    """PMET over a window of layers. Settings as `MEMIT`, and one more.

    lam None is the published one, 6,000 at GPT-J's width or 15,000 at LLaMA-2-7B's, carried over
    by the width. `clamp` and `weight_decay` hold for each of the two deltas.

    Attributes:
        until_likeliest: Whether training ends when the answer is the likeliest, as published; else
            by `stop_loss` and `steps` alone, as MEMIT's does.
    """

    until_likeliest: bool = True

    name: ClassVar[str] = "pmet"
    family: ClassVar[str] = "pmet"
    lam_of_a_feature: ClassVar[tuple[float, float]] = (6000.0 / 16384, 15000.0 / 11008)
    on_stream: ClassVar[bool] = False
    power: ClassVar[float] = 0.5

    def __post_init__(self) -> None:
        if not isinstance(self.until_likeliest, bool):
            raise SettingsError(f"until_likeliest {self.until_likeliest!r}: expected True or False")
        super().__post_init__()

    def v0(self, request: EditRequest, site: EditSite) -> str:
        """Measure the value by what the site writes for the bare prompt."""
        return "prompt"

    def beside(self) -> Beside:
        """Return the delta at the attention, trained with the site's."""
        return Beside(attention_of, PairTraining if self.until_likeliest else Training)


def attention_of(model: Any, site: EditSite) -> str:
    """Return the name of the module whose output is what the attention adds in the site's block.

    Raises:
        SettingsError: If there is no such module.
    """
    wrong = f"pmet trains what the attention of {site.block} writes, beside the MLP: "
    try:
        name = find_landmarks(model, site).attention.format(site.layer)
        module = model.get_submodule(name)
    except SiteError as error:
        raise SettingsError(f"{wrong}{error}; take memit") from error
    except AttributeError:
        raise SettingsError(f"{wrong}this block has none; take another layer, or memit") from None
    if "residual" in inspect.signature(type(module).forward).parameters:
        raise SettingsError(
            f"{wrong}{name} ({type(module).__name__}) gives it together with the residual stream; "
            "take memit"
        )
    if site.name.startswith(f"{name}."):
        raise SettingsError(f"{wrong}the edit site {site.name} is the attention's own; take memit")
    return name


class PairTraining(Training):
    """Training that is relaxed, and may end, once the answer is the likeliest."""

    def sign(self, logp: Tensor) -> Tensor:
        """Return whether each answer token is the likeliest."""
        return (logp.argmax(-1) == self.targets.labels.to(logp.device)).all()

    def ends(self, sign: float, seen: Step) -> bool:
        """Whether each answer token is the likeliest and the KL term small; see the module."""
        likeliest = bool(sign)
        self.weight = RELAXED if likeliest else 1.0
        return likeliest and seen.kl <= MOST_KL
