"""One computation of second moments: its estimate, and its passes over the text."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from goldenlayers.cluster.engine import Engine
from goldenlayers.covariance.checkpoint import Checkpoint
from goldenlayers.covariance.estimate import (
    Estimate,
    batch_bytes,
    moment_bytes,
    size,
    trial_seconds,
)
from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.covariance.parted import PARTS, SumKeys, add_parts
from goldenlayers.covariance.sampled import ModelText
from goldenlayers.covariance.source import TextRequest
from goldenlayers.covariance.store import make_folder, save_moment
from goldenlayers.covariance.texts import TextSource
from goldenlayers.covariance.windows import batches, capped
from goldenlayers.errors import SettingsError
from goldenlayers.models.sites import EditSite
from goldenlayers.models.text import require_vocabulary
from goldenlayers.passes.moments import KeyMoments
from goldenlayers.progress import Progress
from goldenlayers.versions import versions

Say = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """What is to be computed, and with which settings.

    Attributes:
        request: The windows that are wanted, and from which model.
        source: Where they come from.
        keys: Key of each layer's second moment.
        dtype: Dtype of the sums.
        batch_tokens: Tokens in a forward pass, padding counted.
        say: Called with a line when something is worth knowing.
        progress: Called with stage, tokens done and tokens in all.
        engine: Workers that add up parts of the text; None for this process.
    """

    request: TextRequest
    source: TextSource
    keys: Mapping[int, Mapping[str, Any]]
    dtype: torch.dtype
    batch_tokens: int
    say: Say
    progress: Progress
    engine: Engine | None = None

    def estimate(self, passes: Sequence[Sequence[EditSite]]) -> Estimate:
        """Measure one window, and see that memory and disk suffice before any is used."""
        request = self.request
        sites = [site for group in passes for site in group]
        disk = sum(moment_bytes(site, self.dtype) for site in sites) if request.folder else 0
        if request.folder is not None:
            make_folder(request.folder)
            free = shutil.disk_usage(request.folder).free
            if free < disk:
                raise SettingsError(
                    f"{request.folder}: the second moments take {size(disk)}, {size(free)} are "
                    "free; set GOLDENLAYERS_CACHE to a larger disk, or name fewer layers"
                )
        if len(passes) > 1:
            self.say(f"the sums of all layers do not fit the memory: {len(passes)} passes")
        length = min(request.length, request.tokens)
        any_token = (request.tokenizer("a", add_special_tokens=False)["input_ids"] or [0])[0]
        window = [*request.begin, *[any_token] * length][:length]
        require_vocabulary(request.model, [window])
        moments = KeyMoments(request.model, passes[0], self.dtype, self.say)
        seconds = trial_seconds(moments, window) * request.tokens * len(passes)
        del moments  # the passes make their own
        beside = batch_bytes(sites, self.dtype, self.batch_tokens)
        if isinstance(self.source, ModelText):
            seconds += self.source.seconds_ahead(request)
            beside = max(beside, self.source.memory_ahead(request))
        held = max(sum(moment_bytes(site, self.dtype) for site in group) for group in passes)
        return Estimate(
            layers=tuple(site.layer for site in sites),
            tokens=request.tokens,
            passes=len(passes),
            seconds=seconds,
            memory_bytes=held + beside,
            disk_bytes=disk,
        )

    def partial_keys(self, group: Sequence[EditSite]) -> dict[str, Any]:
        """Return by site everything that decides a pass's partial sums to the last bit."""
        parted = [] if self.engine is None else [PARTS]
        return {site.name: [self.keys[site.layer], self.batch_tokens, *parted] for site in group}

    def run(
        self, group: Sequence[EditSite], part: Checkpoint, resume: bool, number: str
    ) -> dict[int, KeyMoment]:
        """Make one pass over the text; return the group's second moments, if they are not kept."""
        request = self.request
        start = time.perf_counter()
        moments = KeyMoments(request.model, group, self.dtype, self.say)
        if not resume:
            part.remove()
        done = part.load(moments) if resume else 0
        resumed = moments.tokens
        stage = "keys" if number == "1/1" else f"keys, pass {number}"
        windows = capped(self.source.windows(request), request.tokens)

        def added(batches: int) -> None:
            self.progress(stage, moments.tokens, request.tokens)
            part.save_when_due(moments, batches)

        if self.engine is not None:
            text = list(batches(windows, self.batch_tokens))
            for batch in text:
                require_vocabulary(request.model, batch)
            task = SumKeys(tuple(group), self.dtype)
            add_parts(moments, task, text, done, self.engine, added)
        else:
            for index, batch in enumerate(batches(windows, self.batch_tokens)):
                if index < done:
                    continue
                require_vocabulary(request.model, batch)
                moments.add(batch)
                added(index + 1)
        if not moments.tokens:
            raise SettingsError("the text has no tokens; expected running text")
        if moments.tokens < request.tokens:
            self.say(
                f"the text ended after {moments.tokens:,} of {request.tokens:,} tokens; "
                "using what there is"
            )
        info = {
            "tokens_wanted": request.tokens,
            "tokens_before_resuming": resumed,
            "layers_in_pass": [site.layer for site in group],
            "batch_tokens": self.batch_tokens,
            "seconds": time.perf_counter() - start,
            "versions": versions(),
        }
        held = {}
        for site in group:
            moment = KeyMoment(
                site.layer,
                site.name,
                moments.whole(site.name),
                moments.tokens,
                self.keys[site.layer],
                info,
            )
            del moments.sums[site.name]
            if request.folder is None:
                held[site.layer] = moment
            else:
                save_moment(request.folder, moment)
        part.remove()
        return held
