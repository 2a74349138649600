"""The scripts of tools/, as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parent.parent / "tools"


def tool(path: str) -> ModuleType:
    """Import a script; what it does to the search path is undone."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_"), TOOLS / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS / Path(path).parent)
        spec.loader.exec_module(module)
    return module
