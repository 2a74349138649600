"""Sources of running text: a file, a data set of the hub, or text that the model writes itself.

Each source says what it is by content, because that goes into the key of what is made from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from goldenlayers.covariance.sampled import ModelText
from goldenlayers.covariance.source import TextRequest
from goldenlayers.covariance.windows import Window, cut
from goldenlayers.errors import SettingsError
from goldenlayers.extras import need

PIECE = 1 << 16  # characters tokenised at a time
JSON_LINES = (".jsonl", ".ndjson")


@runtime_checkable
class TextSource(Protocol):
    """Anything that gives windows of token ids, the same ones each time."""

    def identity(self) -> dict[str, Any]:
        """Return what the text is, by content, ready for JSON."""

    def windows(self, request: TextRequest) -> Iterator[Window]:
        """Yield windows of at most `request.length` tokens, as they are asked for."""


@dataclass(frozen=True)
class TextFile:
    """A file of UTF-8 text; one that ends in .jsonl holds one JSON object with "text" a line.

    It is read as a stream, so it may be larger than the memory.

    Attributes:
        path: The file.
    """

    path: Path

    def identity(self) -> dict[str, Any]:
        """Return the kind of file and the SHA-256 of its bytes.

        Raises:
            SettingsError: If it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise SettingsError(
                f"text {str(self.path)!r}: {error.strerror or error}; expected 'model', a text "
                "file, or 'hub:owner/name'"
            ) from error
        return {"kind": "json lines" if self._json_lines else "text", "sha256": sha256}

    def windows(self, request: TextRequest) -> Iterator[Window]:
        """Yield the windows of the file; see `TextSource`."""
        documents = self._records() if self._json_lines else iter([self._pieces()])
        return cut(documents, request.tokenizer, request.length, request.begin)

    @property
    def _json_lines(self) -> bool:
        return self.path.suffix.lower() in JSON_LINES

    def _pieces(self) -> Iterator[str]:
        """Yield the text in pieces that end at a line's end, or else between two words."""
        with self.path.open(encoding="utf-8-sig") as file:
            rest = ""
            while block := self._read(file):
                rest += block
                end = max(rest.rfind("\n"), rest.rfind(" "))
                # a space belongs to the word after it, as tokenizers see it
                end = end + 1 if end >= 0 and rest[end] == "\n" else end
                if end <= 0:
                    end = len(rest) if len(rest) > 16 * PIECE else 0  # a text without any gap
                if end:
                    yield rest[:end]
                rest = rest[end:]
            if rest:
                yield rest

    def _records(self) -> Iterator[tuple[str]]:
        with self.path.open(encoding="utf-8-sig") as file:
            number = 0
            while line := self._read(file, line=True):
                number += 1
                if line.strip():
                    yield (self._text_of(line, number),)

    def _text_of(self, line: str, number: int) -> str:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{self.path}, line {number}: not JSON: {error}") from None
        text = record.get("text") if isinstance(record, dict) else None
        if not isinstance(text, str):
            raise SettingsError(
                f"{self.path}, line {number}: no field 'text' with a string; "
                'expected one object a line, such as {"text": "..."}'
            )
        return _encodable(text)

    def _read(self, file: Any, line: bool = False) -> str:
        try:
            return str(file.readline() if line else file.read(PIECE))
        except UnicodeDecodeError as error:
            raise SettingsError(
                f"{self.path}: not UTF-8 text ({error.reason}); save it as UTF-8"
            ) from None


@dataclass(frozen=True)
class HubText:
    """A text column of a data set on the Hugging Face hub, read as a stream.

    Only the part that is used is downloaded. Needs the `datasets` package.

    Attributes:
        name: Name of the data set, "owner/name".
        config: Its configuration, or None.
        split: Split, such as "train".
        field: Column that holds the text.
    """

    name: str
    config: str | None = None
    split: str = "train"
    field: str = "text"

    def identity(self) -> dict[str, Any]:
        """Return the data set's name and the commit that the hub has now.

        Raises:
            SettingsError: If `datasets` is missing, or the hub does not know the data set.
        """
        _datasets()
        return {
            "kind": "hub",
            "name": self.name,
            "config": self.config,
            "split": self.split,
            "field": self.field,
            "revision": self._revision(),
        }

    def windows(self, request: TextRequest) -> Iterator[Window]:
        """Yield the windows of the rows; see `TextSource`."""
        return cut(self._rows(), request.tokenizer, request.length, request.begin)

    def _rows(self) -> Iterator[tuple[str]]:
        try:
            rows = _datasets().load_dataset(
                self.name,
                self.config,
                split=self.split,
                streaming=True,
                revision=self._revision(),
            )
            for row in rows:
                text = row.get(self.field)
                if not isinstance(text, str):
                    raise SettingsError(
                        f"{self.name}: no text in field {self.field!r}; its fields are "
                        f"{', '.join(map(str, row))}: hub:{self.name}:{self.split}:FIELD"
                    )
                yield (_encodable(text),)
        except (OSError, ValueError, RuntimeError) as error:
            raise self._failed(error) from error

    def _revision(self) -> str:
        from huggingface_hub import HfApi

        try:
            return str(HfApi().dataset_info(self.name).sha)
        except (OSError, ValueError, RuntimeError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> SettingsError:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        return SettingsError(
            f"data set {self.name!r} of the hub cannot be read: {first[:300]} [check the name, the "
            "configuration and the split, hub:owner/name/config:split:field, and the network]"
        )


def text_source(text: Any, seed: int = 0) -> TextSource:
    """Return the source that a text means.

    Args:
        text: "model" (text that the model samples itself), the path of a file,
            "hub:owner/name[/config][:split[:field]]", or a source.
        seed: Seed of the model's own text.

    Raises:
        SettingsError: If it means nothing.
    """
    if isinstance(text, Path):
        return TextFile(text.expanduser())
    if not isinstance(text, str):
        if isinstance(text, TextSource):
            return text
        raise SettingsError(
            f"text {text!r}: expected 'model', the path of a text file, or 'hub:owner/name'"
        )
    if text == "model":
        return ModelText(seed)
    if text.startswith("hub:"):
        name, *rest = text.removeprefix("hub:").split(":")
        parts = name.split("/")
        if len(rest) > 2 or len(parts) > 3 or not all([*parts, *rest]):
            raise SettingsError(
                f"text {text!r}: expected hub:owner/name, hub:owner/name/config, and if wanted "
                ":split and :field behind it"
            )
        return HubText("/".join(parts[:2]), parts[2] if len(parts) == 3 else None, *rest)
    if not text.strip():
        raise SettingsError("the text's name is empty; expected 'model', a file, or hub:owner/name")
    return TextFile(Path(text).expanduser())


def check_text(covariance: str) -> None:
    """Refuse what cannot be the setting "covariance" of an edit, before any model is loaded.

    Args:
        covariance: "none", or the text that the covariance is taken over.

    Raises:
        SettingsError: If it means nothing, or names a file that is not there.
    """
    if covariance == "none":
        return
    source = text_source(covariance)
    if isinstance(source, TextFile) and not source.path.is_file():
        raise SettingsError(
            f"covariance {covariance!r}: no such file; expected none, model, a text file, or "
            "hub:owner/name"
        )


def _datasets() -> Any:
    return need(
        "datasets", "datasets", "text from the hub needs",
        "give a text file, or let the model write its own text (text='model')",
    )  # fmt: skip


def _encodable(text: str) -> str:
    """Replace lone surrogates, which JSON may hold and no tokenizer takes."""
    return text.encode("utf-8", "replace").decode("utf-8")
