"""Optional packages, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from goldenlayers.errors import SettingsError


def need(package: str, extra: str, what: str, instead: str) -> Any:
    """Return an optional package.

    Args:
        package: Its import name.
        extra: The extra of golden-layers that installs it.
        what: What needs it, as the message's beginning: "facts from the hub need".
        instead: What to do without it.

    Raises:
        SettingsError: If it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise SettingsError(
            f"{what} the package {package}: pip install 'golden-layers[{extra}]'; or {instead}"
        ) from None
