"""Partial sums on disk, so that an interrupted computation goes on where it was.

A checkpoint is a folder with one file per edit site and, written last, a record of the position in
the text. Going on from it gives bit for bit the sums of an undisturbed run: the same batches follow
in the same order.

The batches are the same whatever layers a pass takes. So the partial sums of a pass that took more
layers serve too, as where a pass was killed after it had put down some of its layers, but not all.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from goldenlayers.covariance.key import key_hash
from goldenlayers.covariance.store import read_tensors, tensor_hash, write_tensors
from goldenlayers.errors import ResultError
from goldenlayers.files import write_whole
from goldenlayers.passes.moments import KeyMoments

SAVE_SECONDS = 30.0
# Writing may take this share of the time; a large model's sums are tens of GB.
SAVE_SHARE = 0.05


class Checkpoint:
    """Keeps the partial sums of one pass.

    Args:
        folder: Where checkpoints lie, or None to keep none.
        keys: By edit site, everything that decides its sum to the last bit.
        say: Called with a line when something is worth knowing.
        every: Least seconds between two checkpoints.
    """

    def __init__(
        self,
        folder: Path | None,
        keys: Mapping[str, Any],
        say: Callable[[str], None],
        every: float = SAVE_SECONDS,
    ):
        self._folder = folder
        self._keys = {site: key_hash(key) for site, key in keys.items()}
        self._name = f"partial-{key_hash(self._keys)[:24]}"
        self._taken: Path | None = None
        self._say = say
        self._every = every
        self._last = time.monotonic()
        self._pause = every

    def load(self, moments: KeyMoments) -> int:
        """Put the newest sound checkpoint into `moments`; return how many batches it holds."""
        for place in (*self._places(), *self._places_of_more()):
            try:
                done = self._load(place, moments)
            except (ResultError, OSError, KeyError, ValueError, TypeError) as error:
                moments.reset()
                self._say(f"partial sums in {place} cannot be used ({error}); left aside")
                continue
            self._say(f"going on after {moments.tokens:,} tokens ({place})")
            self._taken = place
            return done
        return 0

    def save_when_due(self, moments: KeyMoments, batches: int) -> None:
        """Write a checkpoint if the last one is old enough; a full disk stops nothing."""
        if self._folder is None or time.monotonic() - self._last < self._pause:
            return
        start = time.monotonic()
        older = self._places()
        place = self._folder / f"{self._name}.{batches:09d}"
        try:
            self._write(place, moments, batches)
        except (ResultError, OSError) as error:
            self._say(f"partial sums could not be kept ({error}); going on without")
            shutil.rmtree(place, ignore_errors=True)
            self._folder = None
            return
        for old in older:
            if old != place:
                shutil.rmtree(old, ignore_errors=True)
        self._last = time.monotonic()
        self._pause = max(self._every, (self._last - start) / SAVE_SHARE)

    def remove(self) -> None:
        """Delete the checkpoints of this pass, and the one that it went on from."""
        for place in (*self._places(), *filter(None, [self._taken])):
            shutil.rmtree(place, ignore_errors=True)

    def _places(self) -> list[Path]:
        """Return the checkpoints, newest first."""
        if self._folder is None:
            return []
        return sorted(self._folder.glob(f"{self._name}.*"), reverse=True)

    def _places_of_more(self) -> list[Path]:
        """Return the checkpoints of passes that took these sites and others, newest first."""
        if self._folder is None:
            return []
        found = []
        for place in self._folder.glob("partial-*"):
            try:
                state = json.loads((place / "state.json").read_text(encoding="utf-8"))
                more = dict(state["keys"])
                if place.name.startswith(self._name) or not self._keys.items() <= more.items():
                    continue
                found.append((int(state["batches"]), place))
            except (OSError, KeyError, ValueError, TypeError, RecursionError):
                continue  # of an older version, or damaged: not worth a word here
        return [place for _, place in sorted(found, reverse=True)]

    def _write(self, place: Path, moments: KeyMoments, batches: int) -> None:
        place.mkdir(exist_ok=True)
        hashes = {}
        for number, (name, total) in enumerate(moments.sums.items()):
            sums = total.cpu()  # one site at a time: no second copy of all sums
            hashes[name] = tensor_hash(sums)
            write_tensors(place / f"{number}.safetensors", {"sum": sums}, {"site": name})
        state = {
            "batches": batches, "tokens": moments.tokens, "sha256": hashes, "keys": self._keys,
        }  # fmt: skip
        write_whole(
            place / "state.json", lambda part: part.write_text(json.dumps(state), encoding="utf-8")
        )

    def _load(self, place: Path, moments: KeyMoments) -> int:
        state = json.loads((place / "state.json").read_text(encoding="utf-8"))
        batches, tokens = int(state["batches"]), int(state["tokens"])
        numbers = {name: number for number, name in enumerate(state["sha256"])}
        for name, total in moments.sums.items():
            path = place / f"{numbers[name]}.safetensors"
            sums = read_tensors(path)[0]["sum"]
            if tensor_hash(sums) != state["sha256"][name] or sums.shape != total.shape:
                raise ResultError(f"{path.name} is damaged")
            if sums.dtype != total.dtype or not bool(torch.isfinite(sums).all()):
                raise ResultError(f"{path.name} is not what it should be")
            total.copy_(sums)
        moments.tokens = tokens
        return batches
