"""LoRA at one edit site, through peft: W + (alpha / rank) B A, with A and B trained.

arXiv 2106.09685. As an editor it is a baseline, and teacher-forced as FT-M is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from goldenlayers.editors.edit import Update
from goldenlayers.editors.fact_batch import FactBatch
from goldenlayers.editors.numbers import require_number, require_whole
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.trained import TrainedEditor, Training
from goldenlayers.extras import need
from goldenlayers.models.sites import EditSite

ADAPTER = "default"


@dataclass(frozen=True)
class LoRA(TrainedEditor):
    """A LoRA of one edit site. Settings as `TrainedEditor`, and more.

    The learning rate and the rank are those of EasyEdit's files (hparams/LoRA: lr 5e-3, rank 8,
    batches of 1, no weight decay), which adapt q and v of every layer by AdaLoRA with alpha 32, a
    dropout of 0.1 and 30 (GPT-2 XL) or 70 (LLaMA) steps, and do not stop early. Here one site is
    adapted and nothing dropped, alpha is twice the rank, as is usual, and steps and stop are
    FT-M's, so that the two can be compared.

    A and B are trained in float32 or wider. In half precision the trained model adds their product
    to the site's output, the applied edit adds it to the weight and rounds: the loss that training
    ends with is not quite the edit's, which each outcome tells in `nll_after`.

    Attributes:
        rank: Rank of the change.
        alpha: The change is scaled by alpha / rank.
        seed: Of A, drawn as published (Kaiming, uniform); B begins at 0.
    """

    lr: float = 5e-3
    rank: int = 8
    alpha: float = 16.0
    seed: int = 0

    name: ClassVar[str] = "lora"

    def __post_init__(self) -> None:
        require_whole("rank", self.rank)
        require_whole("seed", self.seed, least=0)
        require_number("alpha", self.alpha, above_zero=True)
        super().__post_init__()

    def train(
        self, request: EditRequest, site: EditSite, batches: Sequence[FactBatch]
    ) -> tuple[Tensor, Tensor, Training]:
        """Train A and B; see `TrainedEditor.train`.

        Raises:
            SettingsError: If peft is not installed.
        """
        with adapted(request.model, site, self.rank, self.alpha, self.seed) as layer:
            A = layer.lora_A[ADAPTER].weight  # (r, d_in)
            B = layer.lora_B[ADAPTER].weight  # (d_out, r)
            scale = layer.scaling[ADAPTER]

            def factors() -> tuple[Tensor, Tensor]:
                return scale * B.detach(), A.detach().T

            went = self.fit(
                [A, B],
                batches,
                request,
                norm=lambda: Update(site.layer, site.name, site.transposed, *factors()).norm,
            )
            return (*factors(), went)


@contextmanager
def adapted(model: Any, site: EditSite, rank: int, alpha: float, seed: int) -> Iterator[Any]:
    """While open, peft's layer stands in the place of the site; then the site's module again.

    Only the site's module is given to peft, in a box of its own: nothing else of the model, neither
    flags nor configuration, can be touched by it, and an adapter that is on the model stays as it
    is.

    Args:
        model: The model.
        site: The edit site.
        rank: Rank of the LoRA.
        alpha: Its alpha.
        seed: Of A. The global random numbers are not disturbed.

    Yields:
        peft's layer; its adapter's weights are float32, or wider where the site's is.
    """
    peft = need("peft", "peft", "a LoRA needs", "choose another editor, such as ft-m")
    module = model.get_submodule(site.name)
    parent, _, child = site.name.rpartition(".")
    flags = [(p, p.requires_grad) for p in module.parameters()]
    box = nn.ModuleDict({"site": module})
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        bias="none",
        target_modules=["site"],
        fan_in_fan_out=site.transposed,
    )
    try:
        # peft draws A too, on the default device, only to be overwritten
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            peft.inject_adapter_in_model(config, box, adapter_name=ADAPTER)
        layer: Any = box["site"]
        wide = torch.promote_types(module.weight.dtype, torch.float32)
        for part in (layer.lora_A[ADAPTER], layer.lora_B[ADAPTER]):
            part.to(module.weight.device, wide)
        # drawn here, so that it depends on the seed alone: not on peft's version, nor on the device
        drawn = torch.empty(rank, site.d_in, device="cpu")
        draw = torch.Generator().manual_seed(seed)
        nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=draw)
        with torch.no_grad():
            layer.lora_A[ADAPTER].weight.copy_(drawn)
            layer.lora_B[ADAPTER].weight.zero_()
        setattr(model.get_submodule(parent), child, layer)
        yield layer
    finally:
        setattr(model.get_submodule(parent), child, module)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
