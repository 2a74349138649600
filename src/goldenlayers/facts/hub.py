"""Facts of a data set on the Hugging Face hub, through the `datasets` library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldenlayers.errors import FactError, SettingsError
from goldenlayers.extras import need

PREFIX = "hub:"
FORM = "hub:owner/name, hub:owner/name/config, and if wanted @commit and :split behind it"


@dataclass(frozen=True)
class HubFacts:
    """A split of a data set, read row by row.

    Attributes:
        name: "owner/name", or a local folder that holds the data set's files.
        config: Its configuration, or None.
        split: Such as "train"; None for the only one that there is.
        revision: Commit, branch or tag; None for what the hub has now.
    """

    name: str
    config: str | None = None
    split: str | None = None
    revision: str | None = None

    @classmethod
    def of(cls, text: str) -> HubFacts:
        """Return the data set that "hub:owner/name[/config][@commit][:split]" means.

        Raises:
            SettingsError: If it means none.
        """
        name, *rest = text.removeprefix(PREFIX).split(":")
        split = rest[0] if rest else None
        if len(rest) > 1 or not name or split == "":
            raise SettingsError(f"facts {text!r}: expected {FORM}")
        try:
            if Path(name).is_dir():
                return cls(name, None, split)
        except (OSError, ValueError):  # a name that the file system does not take
            pass
        name, at, revision = name.partition("@")
        parts = name.split("/")
        if len(parts) not in (2, 3) or not all(parts) or bool(at) != bool(revision):
            raise SettingsError(f"facts {text!r}: expected {FORM}, or hub: and a local folder")
        config = parts[2] if len(parts) == 3 else None
        return cls("/".join(parts[:2]), config, split, revision or None)

    def records(self) -> Iterator[tuple[int, object]]:
        """Yield (number of the row from 1, row); a column that is null in a row is left out.

        Rows of one data set share their columns, so what a record lacked is null in its row.

        Raises:
            SettingsError: If `datasets` is not installed.
            FactError: If the data set cannot be read, or has several splits and none is named.
        """
        library = need(
            "datasets", "datasets", "facts from the hub need", "download the file and name it"
        )
        try:
            # not as a stream: columns of mixed types come out of that as JSON text
            data = library.load_dataset(
                self.name, self.config, split=self.split, revision=self.revision
            )
            if self.split is None:
                if len(data) != 1:
                    raise FactError(
                        f"data set {self.name!r} has the splits {', '.join(data)}; name one: "
                        f"{PREFIX}{self.name}:{next(iter(data), 'train')}"
                    )
                data = next(iter(data.values()))
            for number, row in enumerate(data, start=1):
                yield number, without_nulls(row)
        except FactError:
            raise
        except Exception as error:  # datasets, pyarrow and the network raise all kinds
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise FactError(
                f"data set {self.name!r} cannot be read: {first[:300]} [check the name, the "
                f"configuration and the split, {FORM}, and the network; or download the file and "
                "name it]"
            ) from error


def without_nulls(value: Any) -> Any:
    """Return a row without the fields that are null, at any depth of objects."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(v) for v in value]
    return value
