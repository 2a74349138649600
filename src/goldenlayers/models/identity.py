"""Which model a result belongs to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from goldenlayers.models import bundled


@dataclass(frozen=True)
class ModelIdentity:
    """Which model a result belongs to.

    Attributes:
        name: Name or path that the user gave.
        title: What a person calls it.
        architecture: Class of the model.
        revision: Commit of the hub, for a model that came from there.
        files: SHA-256 by file name of weights, configuration and tokenizer, for a model that came
            from disk.
        dtype: Dtype that it ran in.
        device: Device that it ran on.
        parameters: Number of weights.
        quantized: "8bit" or "4bit" if it was quantised when it was loaded.
    """

    name: str
    title: str
    architecture: str
    revision: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    dtype: str = "float32"
    device: str = "cpu"
    parameters: int = 0
    quantized: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the identity, ready for JSON."""
        return asdict(self)


def identify(
    model: Any, name: str | None = None, files: dict[str, str] | None = None
) -> ModelIdentity:
    """Return the identity of a model in memory; without `files`, the weights are not hashed."""
    config = getattr(model, "config", None)
    name = name or getattr(config, "_name_or_path", "") or "in memory"
    return ModelIdentity(
        name=name,
        title=bundled.TITLE if name == bundled.NAME else name.rstrip("/").rpartition("/")[2],
        architecture=type(model).__name__,
        revision=getattr(config, "_commit_hash", None),
        files=files or {},
        dtype=str(getattr(model, "dtype", "unknown")).removeprefix("torch."),
        device=str(getattr(model, "device", "unknown")),
        parameters=sum(p.numel() for p in model.parameters()),
    )
