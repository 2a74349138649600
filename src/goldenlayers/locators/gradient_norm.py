"""Where the new answer's gradient is largest: the choice by salience.

    score(l) = mean_i | grad_{W_l} loss(Q_i, K'_i) |

in the Frobenius norm, from the same factors as LGA; or the mean absolute value of the gradient's
entries, as SaLEM has it. It asks how much a layer would move, not whether the old answer moves too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from goldenlayers.errors import LocatorError, SettingsError
from goldenlayers.locators.base import Request
from goldenlayers.locators.fences import Bools, Fences, Floats
from goldenlayers.locators.products import BATCH_TOKENS
from goldenlayers.locators.ranked import golden_of, ranked
from goldenlayers.locators.ranking import FactAnswer, LayerRanking, Skipped
from goldenlayers.locators.stability import selection_stability
from goldenlayers.models.sites import context_length
from goldenlayers.models.text import Row, encode_pairs, require_vocabulary
from goldenlayers.passes.batch_tokens import require_bound, room_for
from goldenlayers.passes.batches import row_batch, row_lengths
from goldenlayers.passes.gradient_sizes import GradientSizes, gradient_sizes
from goldenlayers.passes.room import Room, in_pieces

STATISTICS = ("l2", "mean-abs")


@dataclass(frozen=True)
class SizeBatch:
    """The task of one batch of rows; see `goldenlayers.cluster.engine.Task`.

    Attributes:
        names: By layer, the linear module whose weight is looked at.
        room: Bound on the tokens that are run together; lowered where memory runs out.
    """

    names: tuple[str, ...]
    room: Room

    def __call__(
        self, model: Any, tokenizer: Any, item: Sequence[Row]
    ) -> tuple[Floats, Floats, Floats, Bools]:
        """Return norms and mean absolute values (B, L), losses (B,), and who was reached (L,)."""
        linears = [model.get_submodule(name) for name in self.names]
        norms, sizes = (np.zeros((len(item), len(linears))) for _ in range(2))
        losses, reached = np.zeros(len(item)), np.zeros(len(linears), dtype=bool)

        def run(group: list[int]) -> GradientSizes:
            return gradient_sizes(model, linears, row_batch(item, group, device=model.device))

        for group, sized in in_pieces(row_lengths(item), self.room, run, item="fact"):
            norms[group] = sized.norms.T.cpu().numpy()
            sizes[group] = sized.mean_abs.T.cpu().numpy()
            losses[group] = sized.losses.cpu().numpy()
            reached |= sized.reached.cpu().numpy()
        return norms, sizes, losses, reached


@dataclass(frozen=True)
class GradientNorm:
    """The largest gradient of the new answer.

    Attributes:
        statistic: What layers are ranked by: "l2", the Frobenius norm, or "mean-abs", SaLEM's. Both
            are shown.
        batch_tokens: Bound on the tokens in one batch, a matter of memory and speed alone; None to
            choose, see `goldenlayers.passes.batch_tokens`.
    """

    statistic: str = "l2"
    batch_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.statistic not in STATISTICS:
            raise SettingsError(
                f"statistic {self.statistic!r} is unknown; expected one of {', '.join(STATISTICS)}"
            )
        require_bound(self.batch_tokens)

    def rank(self, request: Request) -> LayerRanking:
        """Measure the gradients; the layer with the largest one, on average, is chosen.

        Raises:
            LocatorError: If no fact can be used, or no gradient reaches any layer.
        """
        limit = context_length(request.model)
        rows = encode_pairs(request.tokenizer, [(f.prompt, f.target_new) for f in request.facts])
        require_vocabulary(request.model, [row.ids for row in rows])
        fits = [i for i, row in enumerate(rows) if limit is None or len(row.ids) <= limit]
        skipped = tuple(
            Skipped(f.id, f"{len(row.ids)} tokens long, the model's context is {limit}")
            for i, (f, row) in enumerate(zip(request.facts, rows, strict=True))
            if i not in set(fits)
        )
        if not fits:
            raise LocatorError(f"none of the {len(rows)} facts fits into the model's context")
        n_layers = len(request.sites)
        sizes = {name: np.zeros((len(fits), n_layers)) for name in STATISTICS}
        losses = np.zeros(len(fits))
        reached = np.zeros(n_layers, dtype=bool)
        done = 0
        used = [rows[i] for i in fits]
        room = room_for(request.model, self.batch_tokens, BATCH_TOKENS, request.say)
        groups = room.parted(row_lengths(used))
        task = SizeBatch(tuple(site.name for site in request.sites), room)
        for at, found in request.at_work.run(task, [[used[i] for i in g] for g in groups]):
            index = groups[at]
            sizes["l2"][index], sizes["mean-abs"][index], losses[index], came_through = found
            reached |= came_through
            done += len(index)
            request.progress("gradients", done, len(fits))
        by_layer = {k: np.where(reached, v.mean(0), np.nan) for k, v in sizes.items()}
        each = sizes[self.statistic]  # (N, L)
        stability = np.full(n_layers, 0.0)
        found = selection_stability(each[:, reached], Fences(k=None), seed=request.seed)
        if found is not None:
            stability[reached] = found
        found_layers = ranked(
            request.sites,
            by_layer[self.statistic],
            stability=stability if found is not None else None,
            more={"l2_norm": by_layer["l2"], "mean_abs": by_layer["mean-abs"]},
        )
        layers = tuple(
            replace(s, reached=bool(r)) for s, r in zip(found_layers, reached, strict=True)
        )
        facts = [request.facts[i] for i in fits]
        return LayerRanking(
            method="gradient-norm",
            golden=golden_of(layers),
            layers=layers,
            answers=tuple(
                FactAnswer(f.id, f.target_new, new_loss=float(loss))
                for f, loss in zip(facts, losses, strict=True)
            ),
            fact_scores={"l2_norm": sizes["l2"], "mean_abs": sizes["mean-abs"]},
            skipped=skipped,
            legend="l2 norm: of the new answer's gradient, Frobenius; mean abs: of its entries, as "
            "SaLEM has it; both means over facts; stability: share of resamples that a layer wins",
            axis="score: |new gradient|" if self.statistic == "l2" else "score: mean |entry|",
        )
