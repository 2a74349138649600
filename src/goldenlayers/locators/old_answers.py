"""What a model answers itself, kept on disk: asked once for each model, prompt and length.

Kept as token ids, for decoded text does not always give them back. A damaged or locked cache costs
the time that it would have saved, and a line that says so.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from goldenlayers.covariance.key import key_hash, model_key
from goldenlayers.errors import ModelError
from goldenlayers.models.bundled import cache_dir
from goldenlayers.progress import Say, quiet

NAME = "old_answers.sqlite"
RULE = 1  # of what may stand in an answer, see `goldenlayers.passes.greedy.TokenFilter`
TABLE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'answers'"
PATIENCE = 10.0  # seconds to wait for another process

Ids = tuple[int, ...]


class OldAnswers:
    """The answers of one model.

    Args:
        model: A causal language model of transformers, as it is now.
        tokenizer: Its fast tokenizer.
        folder: Where the cache lies; None for golden-layers' cache folder.
        say: Called with a line if the cache cannot be used.
    """

    def __init__(
        self, model: Any, tokenizer: Any, folder: Path | None = None, say: Say = quiet
    ) -> None:
        self._say = say
        self._path = (cache_dir() if folder is None else folder) / NAME
        self._vocabulary = model.get_input_embeddings().num_embeddings
        try:
            self._model: str | None = key_hash(
                model_key(model, tokenizer)
                | {
                    "dtype": str(model.dtype),
                    "device": model.device.type,  # of two equal logits each has its own
                    "rule": RULE,
                }
            )
        except ModelError:
            self._model = None  # weights that are not all there cannot be told apart

    def find(self, prompts: Sequence[Ids], lengths: Sequence[int]) -> dict[int, Ids]:
        """Return the answers that are kept, by position of the prompt.

        Args:
            prompts: Token ids of each prompt.
            lengths: Tokens wanted after each.
        """
        if self._model is None or not self._path.is_file():
            return {}
        keys = [self._key(p, n) for p, n in zip(prompts, lengths, strict=True)]
        found: dict[int, Ids] = {}
        try:
            with closing(sqlite3.connect(self._path, timeout=PATIENCE)) as database:
                if not database.execute(TABLE).fetchone():
                    return {}
                for i, key in enumerate(keys):
                    row = database.execute(
                        "SELECT ids FROM answers WHERE key = ?", (key,)
                    ).fetchone()
                    ids = None if row is None else self._checked(row[0], lengths[i])
                    if ids is not None:
                        found[i] = ids
        except sqlite3.Error as error:
            self._failed(error)
        return found

    def keep(self, prompts: Sequence[Ids], lengths: Sequence[int], new: Mapping[int, Ids]) -> None:
        """Keep answers, by position of the prompt."""
        if self._model is None or not new:
            return
        rows = [
            (self._key(prompts[i], lengths[i]), json.dumps(list(ids))) for i, ids in new.items()
        ]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=PATIENCE)) as database, database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, ids TEXT NOT NULL)"
                )
                database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)
        except (OSError, sqlite3.Error) as error:
            self._failed(error)

    def _key(self, prompt: Ids, length: int) -> str:
        text = json.dumps([self._model, list(prompt), length])
        return hashlib.sha256(text.encode()).hexdigest()

    def _checked(self, text: object, length: int) -> Ids | None:
        """Return ids as `keep` wrote them; None for anything else."""
        try:
            ids = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            return None
        if not isinstance(ids, list) or not 0 < len(ids) <= length:
            return None
        if not all(type(i) is int and 0 <= i < self._vocabulary for i in ids):
            return None
        return tuple(ids)

    def _failed(self, error: Exception) -> None:
        self._say(
            f"{self._path}: the model's own answers cannot be kept there ({error}); the run goes "
            "on without. If the file is damaged, delete it"
        )
