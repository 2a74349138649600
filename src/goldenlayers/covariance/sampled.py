"""Text that the model writes itself, kept in groups of documents so that no group is written twice.

No download, no licence, every language that the model speaks; and its own distribution is what an
edit should spare.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from goldenlayers.covariance.key import key_hash
from goldenlayers.covariance.source import TextRequest
from goldenlayers.covariance.store import read_tensors, tensor_hash, write_tensors
from goldenlayers.covariance.windows import Window
from goldenlayers.errors import ModelError, ResultError, SettingsError
from goldenlayers.passes.sampling import sample

GROUP = 32  # documents sampled side by side
# `sample` numbers the generators of one call from 0; a prime between groups keeps them apart.
GROUPS = 999_983
TRIAL_STEPS = 4


@dataclass(frozen=True)
class ModelText:
    """Documents that the model samples from its own distribution, one window long.

    Each starts with the beginning token, or the end-of-text token where there is none; special
    tokens are never drawn later.

    Attributes:
        seed: Seed of all documents, 0 or more.
    """

    seed: int = 0
    _kept: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def identity(self) -> dict[str, Any]:
        """Return the seed; model, tokenizer and length stand beside it in the key.

        Raises:
            SettingsError: If the seed is negative.
        """
        if self.seed < 0:
            raise SettingsError(f"seed {self.seed}: expected 0 or more")
        return {"kind": "model", "seed": self.seed}

    def windows(self, request: TextRequest) -> Iterator[Window]:
        """Yield the documents, each one window; see `goldenlayers.covariance.texts.TextSource`."""
        groups = _Groups(request, self.seed, self._kept)
        for group in range(groups.count):
            for row in groups.group(group).tolist():
                yield tuple(row)

    def seconds_ahead(self, request: TextRequest) -> float:
        """Return about how long sampling what is not kept yet will take, from a few steps of it."""
        return _Groups(request, self.seed, self._kept).seconds_ahead()

    def memory_ahead(self, request: TextRequest) -> int:
        """Return about how many bytes of attention's keys and values sampling holds."""
        groups = _Groups(request, self.seed, self._kept)
        if all(groups.is_kept(number) for number in range(groups.count)):
            return 0
        config = request.model.config.get_text_config(decoder=True)
        heads = config.num_attention_heads
        each = getattr(config, "head_dim", None) or config.hidden_size // heads
        heads = getattr(config, "num_key_value_heads", None) or heads
        rows = min(GROUP, groups.documents)
        width = 2 * config.num_hidden_layers * heads * each
        return int(rows * request.length * width * request.model.dtype.itemsize)


class _Groups:
    """The documents of one request, in groups of `GROUP`; the last may be smaller."""

    def __init__(self, request: TextRequest, seed: int, kept: dict[str, Tensor]):
        self.request = request
        self.seed = seed
        self.kept = kept
        self.documents = -(-request.tokens // request.length)
        self.count = -(-self.documents // GROUP)

    @cached_property
    def start(self) -> Window:
        """Tokens that each document starts with."""
        if self.request.begin:
            return self.request.begin
        config = self.request.model.config.get_text_config(decoder=True)
        for holder, name in (
            (self.request.tokenizer, "bos_token_id"),
            (self.request.tokenizer, "eos_token_id"),
            (config, "bos_token_id"),
            (config, "eos_token_id"),
        ):
            token = getattr(holder, name, None)
            token = token[0] if isinstance(token, list) and token else token
            if isinstance(token, int):
                return (token,)
        raise ModelError(
            "neither tokenizer nor model has a beginning or end-of-text token to start a text "
            "with; give a text file instead (text='my_text.txt')"
        )

    @cached_property
    def forbidden(self) -> set[int]:
        """Special tokens, and ids beyond the tokenizer: rows that only pad the output head."""
        tokenizer, model = self.request.tokenizer, self.request.model
        head = model.get_output_embeddings()
        size = len(head.weight) if head is not None else model.get_input_embeddings().num_embeddings
        special = set(tokenizer.all_special_ids)
        special |= {i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
        return {i for i in special if i < size} | set(range(len(tokenizer), size))

    def group(self, number: int) -> Tensor:
        """Return one group's documents, (rows, length) int32, from where they are kept or anew."""
        key = self._key(number)
        name = key_hash(key)
        if name in self.kept:
            return self.kept[name]
        path = self._path(name)
        documents = self._read(path) if path is not None else None
        if documents is None:
            documents = self._sample(number)
            if path is not None:
                write_tensors(path, {"ids": documents}, {"sha256": tensor_hash(documents)})
        if path is None:
            self.kept[name] = documents
        return documents

    def seconds_ahead(self) -> float:
        """Time a few steps of the largest group that is missing, and multiply."""
        missing = [g for g in range(self.count) if not self.is_kept(g)]
        if not missing:
            return 0.0
        rows = max(self._rows(g) for g in missing)
        steps = min(TRIAL_STEPS, self.request.length - len(self.start))
        if steps < 1:
            return 0.0
        self._draw(rows, 1, 0)  # the first pass is slower
        start = time.perf_counter()
        self._draw(rows, steps, 0)
        step = (time.perf_counter() - start) / steps
        return step * (self.request.length - len(self.start)) * len(missing)

    def _sample(self, number: int) -> Tensor:
        rows = self._rows(number)
        self.request.progress(number * GROUP, self.documents)
        drawn = self._draw(rows, self.request.length - len(self.start), self.seed * GROUPS + number)
        self.request.progress(number * GROUP + rows, self.documents)
        return torch.tensor([[*self.start, *row] for row in drawn], dtype=torch.int32)

    def _draw(self, rows: int, steps: int, seed: int) -> list[Window]:
        if steps < 1:
            return [()] * rows
        try:
            return sample(
                self.request.model,
                [self.start] * rows,
                steps,
                seed=seed,
                forbidden=self.forbidden,
            )
        except RuntimeError as error:
            if "probability tensor" not in str(error):
                raise
            raise ModelError(
                "the model cannot write text: its probabilities are not finite; load it in "
                "float32 or bfloat16 (--dtype), or give a text file"
            ) from error

    def _rows(self, number: int) -> int:
        return min(GROUP, self.documents - number * GROUP)

    def _key(self, number: int) -> dict[str, Any]:
        return {
            "format": 1,
            "what": "sampled text",
            "model": dict(self.request.model_key),
            "seed": self.seed,
            "length": self.request.length,
            "start": self.start,
            "group": number,
            "rows": self._rows(number),
        }

    def is_kept(self, number: int) -> bool:
        """Return whether a group need not be sampled."""
        name = key_hash(self._key(number))
        path = self._path(name)
        return name in self.kept or (path is not None and path.exists())

    def _path(self, name: str) -> Path | None:
        folder = self.request.folder
        return None if folder is None else folder / f"text-{name[:24]}.safetensors"

    def _read(self, path: Path) -> Tensor | None:
        """Return the kept group, or None where there is none that can be trusted."""
        if not path.exists():
            return None
        try:
            tensors, record = read_tensors(path)
        except ResultError:
            return None
        ids = tensors.get("ids")
        if ids is None or ids.dim() != 2 or tensor_hash(ids) != record.get("sha256"):
            return None  # sampled anew: nothing is lost but time
        return ids
